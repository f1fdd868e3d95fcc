/* links: the difference between the ip text of plane.h and what the kernel has. Pure.
 *
 * Owned by us, so that what is there and not wanted is removed: the addresses of
 * interfaces that the text names; in scope ROUTES all routes of tables 101 to 132 and
 * all rules with our priorities (1001..1032, 1900, 1950, 2000); in scope EGRESS all
 * routes of table 200. Nothing else is ever touched. Lines for an interface that is not
 * there are passed over: they are done when it has come. */
#ifndef PX_LINKS_H
#define PX_LINKS_H

#include <stddef.h>

#include "common/err.h"

/* JSON texts of "ip -j addr" (both families in one), and of one family "ip -N -j
 * rule" and "ip -j route show table all". */
struct px_links_have {
    const char *addr;
    const char *rule;
    const char *route;
};

enum px_links_scope {
    PX_LINKS_ADDRESSES = 1,
    PX_LINKS_ROUTES = 2,
    PX_LINKS_EGRESS = 4,
};

/* want: text of px_*_ip, both families; the lines of `v6` are looked at (without their
 * "-6 "). Returns in *batch_r lines for "ip -batch -" of that family, additions first,
 * so that nothing falls through a gap; "" when all is as it should be. Caller frees. An
 * answer of ip that is not understood is kind WORLD. */
CM_MUSTUSE int px_links_diff(const char *want, const struct px_links_have *have, int v6,
                             unsigned scope, char **batch_r, struct cm_err *err);

#endif
