/* bans: table ban of PostgreSQL (030-bans.sql), and the bans of a document made of it.
 *
 * Read at every notice on channel "chatmail_ban" (the pool's owner calls bans_read) and
 * every BANS_POLL_MS. While the database is away the last ones stay. A source is
 * written to no log. */
#ifndef BANS_H
#define BANS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"
#include "common/pg.h"
#include "proxy/state.h"

#define BANS_POLL_MS     10000
#define BANS_SECONDS_MAX (30 * 24 * 3600)
#define BANS_REASON_MAX  60 /* bytes */

struct bans;

/* pg is borrowed. read: after each successful reading. */
struct bans *bans_new(struct cm_loop *loop, struct cm_pg *pg, void (*read)(void *ctx),
                      void *ctx);
void bans_free(struct bans **bans); /* after pg, whose end fails what is under way */
void bans_read(struct bans *bans);

/* Puts those that are not over into the state; its gateways, and what is no public
 * address, are left out. */
void bans_fill(const struct bans *bans, struct px_state *state, int64_t now_s);
/* Whether that would change what the state keeps out. False before the first reading.
 */
bool bans_differ(const struct bans *bans, const struct px_state *state, int64_t now_s);
size_t bans_count(const struct bans *bans, int64_t now_s);

/* err NULL: the table is so, and has been read again. */
typedef void (*bans_cb)(const struct cm_err *err, void *ctx);
/* reason: printable ASCII. Who is banned already is so for exactly that long from now.
 * One change at a time: else RETRY at once. */
void bans_add(struct bans *bans, const unsigned char source[CM_SOURCE_LEN],
              int64_t seconds, const char *reason, bans_cb cb, void *ctx);
/* REFUSE when it is not banned. */
void bans_remove(struct bans *bans, const unsigned char source[CM_SOURCE_LEN],
                 bans_cb cb, void *ctx);

/* {"epoch":17,"settled":true,"bans":[{"source","reason","since","until"}]}: the table
 * as read last, the longest first; settled: the state, of that epoch, is as the table.
 * Caller frees. */
char *bans_json(const struct bans *bans, const struct px_state *state, int64_t now_s);

#endif
