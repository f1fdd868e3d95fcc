/* dns: the parts of the verb `dns`, one file each. Private to them. */
#ifndef OP_DNS_H
#define OP_DNS_H

#include "cluster.h"
#include "dns/update.h"
#include "look.h"

/* What has been looked at, as text or --json. Returns the exit code. */
int op_dns_say(const struct op_cli *cli, const struct op_look *look);

struct op_dns_primary {
    struct dns_primary at; /* with its zone */
    struct dns_key key;
    struct op_server server; /* the same, to ask */
};

/* From --server and --key, else from [store] dns_server and dns_key. 1 found, 0 none is
 * named, -1. The key is read only when it is wanted; the caller wipes it. */
CM_MUSTUSE int op_dns_primary(const struct op_cluster *c, bool key,
                              struct op_dns_primary *primary_r, struct cm_err *err);

struct op_dns_plan {
    struct dns_change items[DNS_CHANGES_MAX];
    size_t count;
    char *texts[3 * DNS_CHANGES_MAX]; /* what items point to; owned */
    size_t text_count;
};

/* What has to change at the primary so that all that is wanted is right there; empty
 * when it is. Touches sets of the zone's own names only, and in those no record that is
 * somebody else's (op_zone_is_ours). */
CM_MUSTUSE int op_dns_plan(const struct op_look *look,
                           const struct op_dns_primary *primary,
                           struct op_dns_plan *plan_r, struct cm_err *err);
void op_dns_plan_clear(struct op_dns_plan *plan);

/* --apply: shows the changes, asks, makes them, and looks whether they are there. Ends
 * with what the public servers show. Returns the exit code, -1 with err. */
CM_MUSTUSE int op_dns_apply(const struct op_cluster *c, struct op_look *look,
                            struct cm_err *err);

#endif
