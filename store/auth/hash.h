/* hash: SHA512-CRYPT of a password, on worker threads. */
#ifndef AUTH_HASH_H
#define AUTH_HASH_H

#include "common/err.h"
#include "common/loop.h"

#define HASH_THREADS 2
#define HASH_QUEUE_MAX                                                                 \
    512 /* about 1.5 s of work; beyond it a login is told to retry                     \
         */

/* "{SHA512-CRYPT}$6$<16 characters>$..."; caller frees. NULL if the system has no
 * randomness or crypt(3) refuses. Takes milliseconds: not for the loop. */
char *hash_password(const char *password);

/* hash is NULL on failure; else owned by the callback. */
typedef void (*hash_cb)(char *hash, void *ctx);

/* Takes a copy of the password, wiped when done. -1 (RETRY) when the queue is full;
 * then cb is not called. */
CM_MUSTUSE int hash_submit(struct cm_work *work, const char *password, hash_cb cb,
                           void *ctx, struct cm_err *err);

#endif
