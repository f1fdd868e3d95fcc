/* defects: what is in the way on the nodes, each with what to do about it; gathered
 * from all of them before anything is changed, and said as one list. */
#ifndef OP_DEFECTS_H
#define OP_DEFECTS_H

#include <stddef.h>

#include "common/err.h"

struct op_defect {
    char *what; /* "port 25 is occupied by exim4" */
    char *todo; /* "stop it: systemctl disable --now exim4"; "" when what says it */
};

struct op_defects {
    struct op_defect *items;
    size_t count;
};

/* todo is copied and may be "". */
void op_defects_add(struct op_defects *d, const char *todo, const char *what, ...)
    CM_PRINTF(3, 4);
void op_defects_clear(struct op_defects *d);
/* Each of them under the node's name, in lines of at most 79 columns. */
void op_defects_say(const char *node, const struct op_defects *d);
/* [{"what", "todo"}, ...]; owned by the caller. */
struct json_t *op_defects_json(const struct op_defects *d);

#endif
