/* lookups: what Dovecot asks chatmail-auth, as requests for the load generator. */
#ifndef BENCH_LOOKUPS_H
#define BENCH_LOOKUPS_H

#include "load.h"

#define LOOKUPS_HELLO "H3\t2\t0\t\tauth\n"

/* The form and about the length of a good answer. */
extern const char LOOKUPS_ANSWER[];

/* Password checks and user lookups, turn about, of accounts that exist. */
size_t lookups_known(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx);
/* A password check that creates the account. ctx: a letter that begins its name (names
 * have 9 characters). */
size_t lookups_new(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx);

#endif
