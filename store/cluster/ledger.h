/* ledger: the desired state in PostgreSQL (schema 002-cluster.sql).
 *
 * The newest row is read again at every NOTIFY on channel "chatmail_state" and every
 * LEDGER_POLL_MS, and handed on exactly as it is stored: whether it is genuine is for
 * those to judge who obey it. While the database is away the last one stays. */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"
#include "proxy/state.h"

#define LEDGER_POLL_MS 2000
#define LEDGER_KEPT    50 /* older rows are deleted when a new one is published */

struct ledger;

struct ledger_options {
    const char *conninfo;
    const char *secret_key; /* Ed25519, base64; borrowed for the ledger's life */
    const char *public_key;
    /* The newest envelope, when it differs from the one told last. */
    void (*newest)(const char *envelope, void *ctx);
    void *ctx;
};

struct ledger *ledger_new(struct cm_loop *loop, const struct ledger_options *options);
void ledger_free(struct ledger **ledger);

/* epoch is that of the document in force afterwards. On failure err is set, else NULL.
 */
typedef void (*ledger_cb)(int64_t epoch, bool changed, const struct cm_err *err,
                          void *ctx);
/* What wanted is asked about; the rest is taken from the newest genuine document, so
 * that bans and all else are published past each other without loss. */
enum ledger_part {
    LEDGER_ALL, /* all but its bans */
    LEDGER_BANS
};

/* Signs it under a new epoch unless the newest genuine document says the same already
 * and its epoch is not below at_least. One at a time, and one that waits: a further
 * call fails with RETRY. Refused when a number belongs to another name, and bans when
 * nothing genuine has been published. */
void ledger_publish(struct ledger *ledger, const struct px_state *wanted,
                    enum ledger_part part, int64_t at_least, ledger_cb cb, void *ctx);

#endif
