/* waiting: machines that were invited to be gateways, as the store has them. */
#ifndef OP_WAITING_H
#define OP_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/enrol.h"
#include "common/err.h"
#include "host.h"

struct op_waiting {
    char name[33];
    int64_t number;
    bool joined;      /* it came, and waits; else it is only invited */
    bool over;        /* invited, and too late now */
    char expires[32]; /* as text, UTC */
    char wg_key[45];  /* public; so below: "" until it came */
    char print[CM_ENROL_PRINT];
    char addresses[512]; /* public ones of its interfaces, else whence it came */
};

struct op_waiters {
    struct op_waiting items[CM_GATEWAYS_MAX];
    size_t count;
};

/* Pure, from the answer to op_waiting_sql. */
extern const char op_waiting_sql[];
CM_MUSTUSE int op_waiting_parse(const char *answer, struct op_waiters *w_r,
                                struct cm_err *err);
CM_MUSTUSE int op_waiting_read(struct op_host *store, struct op_waiters *w_r,
                               struct cm_err *err);
/* NULL when there is none of that name. */
const struct op_waiting *op_waiting_find(const struct op_waiters *w, const char *name);

#endif
