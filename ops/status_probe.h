/* status_probe: the probe of `chatops status`: an account with a throwaway name, a ring
 * of pairs so that every gateway is once the way in and once the way out, and the hop
 * that a message did not get past.
 *
 * The account is put into the store's database (no limit on new accounts is touched,
 * closed registrations are no hindrance) and removed at the end with all that is its.
 * A note beside chatmail.ini names it meanwhile; what a killed chatops left is removed
 * by the next. */
#ifndef OP_STATUS_PROBE_H
#define OP_STATUS_PROBE_H

#include <jansson.h>

#include "cluster.h"
#include "probe.h"

struct op_ring {
    struct op_probe_account account; /* addr "": not made yet */
    struct op_pair pairs[CM_GATEWAYS_MAX];
    size_t count;
    char trouble[400]; /* why there is no probe; "" */
};

/* Pure: pairs of the gateways that are published as active. status: what "ctl status"
 * said; NULL: those that chatmail.ini says are active. */
void op_ring_plan(struct op_ring *ring, const struct op_cluster *c,
                  const json_t *status);

/* One round: makes the account unless there is one, runs all pairs, blames. `progress`
 * may be NULL. */
void op_ring_run(struct op_ring *ring, struct op_cluster *c, const json_t *status,
                 void (*progress)(const struct op_pair *pair));
/* Removes the account and its mail. */
void op_ring_close(struct op_ring *ring, struct op_cluster *c);

/* Of "ctl status": does that gateway hear the store? Pure. */
bool op_ring_tunnel(const json_t *status, const char *gateway);
/* Takes "unit NAME STATE" and "wait TEXT" lines. Pure. */
void op_ring_take_facts(char *text, struct op_probe_facts *facts);

#endif
