/* house: a store to measure: a throw-away PostgreSQL with our schema, a Redis, a
 * settings file, and daemons of ours as systemd would start them. Nothing of it
 * outlives the bench. */
#ifndef BENCH_HOUSE_H
#define BENCH_HOUSE_H

#include <stddef.h>
#include <sys/types.h>

#include "common/err.h"

#define HOUSE_DOMAIN       "chat.example"
#define HOUSE_ACCOUNTS     10000 /* named by house_account */
#define HOUSE_ARGS_MAX     24
#define HOUSE_ACCOUNT_SIZE 64

struct house;

struct house_daemon {
    const char *name;   /* of the program; static */
    const char *socket; /* FileDescriptorName of its socket */
    /* Its program and arguments, from house_path(), house_db() ...; zeroed before. */
    void (*args)(struct house *house, const char *argv[HOUSE_ARGS_MAX]);
};

/* auth: the one that the rows of auth.c use. */
extern const struct house_daemon house_daemons[];
extern const size_t house_daemon_count;
const struct house_daemon *house_find(const char *name);

CM_MUSTUSE int house_open(struct house **house_r, struct cm_err *err);
void house_close(struct house **house); /* stops its daemons; accepts NULL */

/* The path of a file of this name in the house; a connection string for a role; both
 * valid as long as the house. */
const char *house_path(struct house *house, const char *name);
const char *house_db(struct house *house, const char *role);
const char *house_redis(struct house *house); /* its socket */
const char *house_sql(struct house *house, const char *sql);

/* Returns when its socket is there; whether it answers is for the caller to ask.
 * Pinned as the caller is. */
pid_t house_start(struct house *house, const struct house_daemon *daemon);
void house_stop(struct house *house, pid_t pid);
/* Where the daemon's socket is. */
const char *house_socket(struct house *house, const struct house_daemon *daemon);

/* "u000042@chat.example": one of HOUSE_ACCOUNTS that exist, with HOUSE_PASSWORD. */
#define HOUSE_PASSWORD "bench-password-9"
void house_account(char out[HOUSE_ACCOUNT_SIZE], unsigned number);

#endif
