/* pg: an asynchronous pool of PostgreSQL connections (libpq behind this one file).
 *
 * Statements are prepared once per connection, by name. A lost connection fails its
 * statements with kind RETRY and is opened again from a timer (100 ms, doubling to 2
 * s). While no connection is up a query fails at once with kind RETRY: a caller with a
 * phone waiting must not hang. Only a query that comes before the first attempt has
 * ended waits for its outcome, so that a restart of the program is not seen as an
 * outage. At most `max_queue` queries wait for a connection; each query has a deadline.
 */
#ifndef CM_PG_H
#define CM_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

/* Our database, by the socket of this machine. */
#define CM_PG_CONNINFO(role) "host=/run/postgresql dbname=chatmail user=" role

struct cm_pg;

struct cm_pg_options {
    const char *conninfo; /* libpq connection string */
    unsigned connections; /* 0 means 4 */
    unsigned max_queue;   /* 0 means 1024 */
    int64_t deadline_ms;  /* per query; 0 means 4000 */
    /* LISTEN on this channel on one of the connections; may be NULL. */
    const char *listen_channel;
    void (*on_notify)(const char *payload, void *ctx);
    /* Each time the pool goes from no connection to one, and the reverse. May be NULL.
     */
    void (*on_state)(bool up, void *ctx);
    void *ctx;
};

struct cm_pg_statement {
    const char *name; /* unique in the program */
    const char *sql;  /* with $1.. */
};

/* Rows are text; NULL values are NULL. Valid during the callback only. */
struct cm_pg_result;
int cm_pg_rows(const struct cm_pg_result *res);
const char *cm_pg_value(const struct cm_pg_result *res, int row, int column);
int64_t cm_pg_affected(const struct cm_pg_result *res);

/* Exactly one call per query. On failure res is NULL and err->kind is RETRY
 * (connection, deadline, serialization) or WORLD (SQLSTATE says the statement or schema
 * is wrong). */
typedef void (*cm_pg_cb)(const struct cm_pg_result *res, const struct cm_err *err,
                         void *ctx);

struct cm_pg *cm_pg_new(struct cm_loop *loop, const struct cm_pg_options *options);
void cm_pg_free(
    struct cm_pg **pg); /* outstanding callbacks get RETRY "shutting down" */
bool cm_pg_up(const struct cm_pg *pg);
/* Why the newest connection was lost or refused, one line; "" before the first failure.
 */
const char *cm_pg_last_error(const struct cm_pg *pg);

/* stmt must live as long as pg. params: n text values (NULL is SQL NULL), copied. The
 * callback may come before return. */
void cm_pg_query(struct cm_pg *pg, const struct cm_pg_statement *stmt,
                 const char *const *params, int n, cm_pg_cb cb, void *ctx);

#endif
