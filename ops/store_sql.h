/* store_sql: questions to the store's database, as its superuser. */
#ifndef OP_STORE_SQL_H
#define OP_STORE_SQL_H

#include "common/err.h"
#include "host.h"

/* A timestamptz as text: 2026-11-26T10:00:00Z. */
#define OP_SQL_TIME(column)                                                            \
    "to_char(" column " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"

/* One transaction. *said_r: the rows, a line each, columns divided by '|'; caller
 * frees.
 */
CM_MUSTUSE int op_store_sql(struct op_host *store, const char *sql, char **said_r,
                            struct cm_err *err);

#endif
