/* pgfixture: a throw-away PostgreSQL for tests: own temporary directory, unix socket
 * only, trust authentication, no fsync, dies with the test. Started as root it runs as
 * user postgres, else as the caller. Anything unexpected ends the test program with a
 * text. */
#ifndef PGFIXTURE_H
#define PGFIXTURE_H

#include <stdbool.h>

struct pgfixture;

/* Initialises and starts. NULL when the PostgreSQL 15 programs are not installed. */
struct pgfixture *pgfixture_new(void);
/* The same with database "chatmail" in it, to which files of the schema were applied:
 * names as "001-account", ended by NULL. */
struct pgfixture *pgfixture_chatmail(const char *schema_dir, ...)
    __attribute__((sentinel));
void pgfixture_free(struct pgfixture **fx); /* stops and removes the directory */

void pgfixture_start(struct pgfixture *fx);    /* returns when it accepts connections */
void pgfixture_stop(struct pgfixture *fx);     /* fast shutdown; clients are cut */
void pgfixture_freeze(struct pgfixture *fx);   /* SIGSTOP for every server process */
void pgfixture_unfreeze(struct pgfixture *fx); /* and SIGCONT */

/* The socket's directory, for host= and $PGHOST. */
const char *pgfixture_dir(const struct pgfixture *fx);
/* "host=... dbname=DB user=USER", valid until the next call. */
const char *pgfixture_conninfo(struct pgfixture *fx, const char *db, const char *user);

/* Runs sql as superuser. Returns the first value of the last result ("" if none), valid
 * until the next call. */
const char *pgfixture_sql(struct pgfixture *fx, const char *db, const char *sql);
void pgfixture_sql_file(struct pgfixture *fx, const char *db, const char *path);

#endif
