/* flush: writes the days into account.last_login, FLUSH_BATCH addresses in one
 * statement, FLUSH_MS after the first of them came in.
 *
 * What could not be written stays and is tried again every FLUSH_MS. A row whose day is
 * right is not touched, and an address without an account is passed over. */
#ifndef LASTLOGIN_FLUSH_H
#define LASTLOGIN_FLUSH_H

#include <stdbool.h>

#include "common/loop.h"
#include "common/pg.h"

#include "days.h"

#define FLUSH_MS    2000
#define FLUSH_BATCH 512

struct flush;

/* Both must outlive it; but see flush_free(). */
struct flush *flush_new(struct cm_loop *loop, struct cm_pg *pg, struct days *days);
/* After cm_pg_free(), which gives back the statement under way. */
void flush_free(struct flush **flush);
/* Something was put into days. */
void flush_later(struct flush *flush);
/* Write now, without waiting for the rest of FLUSH_MS. */
void flush_now(struct flush *flush);
/* All is written, or the newest try failed; and nothing is under way. */
bool flush_settled(const struct flush *flush);

#endif
