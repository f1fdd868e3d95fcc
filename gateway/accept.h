/* accept: whether a document that came over the bus is obeyed. Pure.
 *
 * The store may be broken, its database restored from last week, the document forged or
 * meant for another cluster. In doubt the rules in force stay. */
#ifndef GW_ACCEPT_H
#define GW_ACCEPT_H

#include <stddef.h>
#include <stdint.h>

#include "boot.h"
#include "common/err.h"
#include "proxy/state.h"

struct gw_force {
    int64_t epoch; /* high-water mark; 0: none. Survives a restart in the nft table */
    const char *envelope; /* the last one taken; NULL after a restart */
    size_t envelope_len;
    const char *domain; /* of that one; "" when not known */
};

enum gw_verdict {
    GW_TAKE,
    GW_SAME,   /* what is in force already */
    GW_REFUSE, /* err says why */
};

/* state_r is filled for GW_TAKE only. */
enum gw_verdict gw_accept(const struct gw_boot *boot, const struct gw_force *force,
                          const char *envelope, size_t len, struct px_state *state_r,
                          struct cm_err *err);

#endif
