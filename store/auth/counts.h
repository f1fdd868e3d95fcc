/* counts: what chatmail-auth did since it started, for /metrics. */
#ifndef AUTH_COUNTS_H
#define AUTH_COUNTS_H

#include <stdint.h>

#include "common/buf.h"

/* Why a new address was refused. */
enum reject {
    REJECT_NOCREATE, /* /etc/chatmail-nocreate */
    REJECT_CLOSED,
    REJECT_RULES,  /* name or password */
    REJECT_INVITE, /* no token, or one that is not good */
    REJECT_LIMITS, /* the machine is short of something */
    REJECT_NET,
    REJECT_GATEWAY,
    REJECT_KINDS
};

struct counts {
    uint64_t passdb, userdb; /* questions */
    uint64_t failures;       /* of them, answered as a temporary failure */
    uint64_t created;
    uint64_t rejected[REJECT_KINDS];
    uint64_t lane_full; /* creations put off because too many were under way */
    uint64_t wrong;     /* passwords */
    uint64_t banned;    /* sources handed to the gateways */
};

void counts_write(const struct counts *counts, struct cm_buf *out);

#endif
