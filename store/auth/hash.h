/* hash: SHA512-CRYPT of a password, on worker threads. */
#ifndef AUTH_HASH_H
#define AUTH_HASH_H

#include "common/err.h"
#include "common/loop.h"

#define HASH_THREADS_MAX 8

/* One per CPU that this process may use. */
unsigned hash_threads(void);

/* "{SHA512-CRYPT}$6$<16 characters>$..."; caller frees. NULL if the system has no
 * randomness or crypt(3) refuses. Takes milliseconds: not for the loop. */
char *hash_password(const char *password);

/* hash is NULL on failure; valid during the call. */
typedef void (*hash_cb)(const char *hash, void *ctx);

/* Takes a copy of the password, wiped when done. The worker thread that does it gives
 * up all its priority, for good: whoever has an account comes first. -1 (RETRY) when
 * the queue is full; then cb is not called. */
CM_MUSTUSE int hash_submit(struct cm_work *work, const char *password, hash_cb cb,
                           void *ctx, struct cm_err *err);

#endif
