/* roll: all gateways as `chatops gateway list` shows them: those of chatmail.ini, as
 * the store knows them, and those that are invited or wait to be accepted. Pure but for
 * the printing. */
#ifndef OP_ROLL_H
#define OP_ROLL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/conf.h"
#include "fleet.h"

struct op_roll_row {
    char name[33];
    int64_t number;
    char mode[16];       /* as published, else as chatmail.ini says */
    char addresses[512]; /* blank-separated; "" not known */
    char state[16];      /* one of those below */
    int64_t applied;     /* epoch; -1: does not say */
    char version[64];    /* "" */
    int64_t weight;      /* of outgoing mail; -1: it carries none */
    char ssh[256];       /* "" */
    char note[300];      /* why, or what to do next */
};

/* States: up, impaired, down, as the store judges; "not enrolled", in chatmail.ini and
 * not published; "unknown", the store does not answer; invited; waiting, to be
 * accepted.
 */
struct op_roll {
    int64_t epoch; /* wanted; -1: not known */
    struct op_roll_row rows[3 * CM_GATEWAYS_MAX];
    size_t count;
};

struct op_waiters;

/* fleet: NULL when the store does not answer. */
void op_roll_fill(const struct cm_conf *conf, const struct op_fleet *fleet,
                  struct op_roll *roll_r);
/* Adds those that are invited or wait. */
void op_roll_add_waiting(const struct cm_conf *conf, const struct op_waiters *waiters,
                         struct op_roll *roll);
void op_roll_say(const struct op_roll *roll);
struct json_t *op_roll_json(const struct op_roll *roll); /* owned by the caller */

#endif
