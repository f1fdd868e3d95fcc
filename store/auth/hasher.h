/* hasher: passwords are hashed in a process of its own, so that it costs nobody else
 * his turn.
 *
 * Threads would not do. Linux gives CPU time to sessions (autogroups) and units before
 * it looks at threads: what a hashing thread uses up, the loop of its own program has
 * to wait for, whatever the thread's priority; and one that loses its CPU while it
 * holds the allocator's lock stops the loop as well. So the child has a session of its
 * own, of low priority (HASHER_NICE: a seventieth of an ordinary share when all CPUs
 * are busy, all of what is idle), one thread per CPU, and shares nothing but a socket.
 *
 * It holds no other descriptor, knows nothing but the passwords it is sent, and ends
 * when the socket closes. When it dies its passwords are answered as failed (RETRY) and
 * the next one starts another, at most once in HASHER_AGAIN_MS. */
#ifndef AUTH_HASHER_H
#define AUTH_HASHER_H

#include "common/err.h"
#include "common/loop.h"

#define HASHER_NICE         19
#define HASHER_THREADS_MAX  16
#define HASHER_MAX          128  /* passwords under way */
#define HASHER_PASSWORD_MAX 1023 /* bytes */
#define HASHER_AGAIN_MS     1000

struct hasher;

/* Forks: before there are threads, and better before there are connections. */
struct hasher *hasher_new(struct cm_loop *loop);
void hasher_free(struct hasher **hasher); /* outstanding callbacks get RETRY */

/* hash: valid during the call; NULL on failure, and then err->kind is RETRY (the
 * process is gone) or WORLD (crypt(3) refuses). Never before hasher_submit() returns.
 */
typedef void (*hasher_cb)(const char *hash, const struct cm_err *err, void *ctx);

/* Takes a copy of the password, wiped when done. -1 (RETRY) when HASHER_MAX are under
 * way or no process can be started; then cb is not called. */
CM_MUSTUSE int hasher_submit(struct hasher *hasher, const char *password, hasher_cb cb,
                             void *ctx, struct cm_err *err);

#endif
