/* numbers: which gateway numbers have been given. A number names a tunnel and its inner
 * addresses, which may still be in somebody's routes, so it is never given to another
 * gateway. Noted beside chatmail.ini, in .chatops/numbers, and on the store. */
#ifndef OP_NUMBERS_H
#define OP_NUMBERS_H

#include <stdint.h>

#include "cluster.h"
#include "common/err.h"

extern const char op_numbers_sql[];
/* What the store knows, those of invites too, as lines "NUMBER NAME"; "" when it cannot
 * be asked or was never set up. Caller frees. */
char *op_numbers_on_store(struct op_cluster *c);
/* --number, else the lowest that neither chatmail.ini nor the note nor `more` (lines as
 * above) has. */
CM_MUSTUSE int op_numbers_choose(const struct op_cluster *c, const char *more,
                                 int64_t *number_r, struct cm_err *err);
/* Notes it, unless it is noted. */
CM_MUSTUSE int op_numbers_note(const struct op_cluster *c, int64_t number,
                               const char *name, struct cm_err *err);

#endif
