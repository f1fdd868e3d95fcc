/* bans: the texts of chatops ban, unban and bans. */
#ifndef OP_BANS_H
#define OP_BANS_H

#include <stdint.h>

#include <jansson.h>

#include "common/err.h"

#define OP_BAN_DEFAULT_S (24 * 3600)
#define OP_BAN_MAX_S     (30 * 24 * 3600)

/* What was typed: "203.0.113.7" and "2h" (NULL: the default). REFUSE names what is
 * wrong. source_r: CM_SOURCE_TEXT bytes. */
CM_MUSTUSE int op_ban_wish(const char *address, const char *duration, char *source_r,
                           int64_t *seconds_r, struct cm_err *err);
/* "2 h 5 min", "3 d", "40 s": for people. out: 32 bytes. */
void op_ban_left(int64_t seconds, char out[32]);
/* What "ctl bans" said, line by line, at that second. Caller frees. */
char *op_bans_text(const json_t *answer, int64_t now_s);
/* The sources alone, one on a line, as pfctl -T replace takes them. */
char *op_bans_pf(const json_t *answer, int64_t now_s);

#endif
