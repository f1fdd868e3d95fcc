/* dns: the lab's name server (nsd, 198.51.100.54) and resolver (unbound, 198.51.100.53)
 * on node dns. The server holds the root, the top level domain "example" and all zones
 * below, so that a name outside the lab is answered at once with "does not exist". */
#ifndef LAB_DNS_H
#define LAB_DNS_H

#include "common/err.h"

/* Configuration and the built-in zones, into the node's new disk. */
CM_MUSTUSE int dns_seed(const char *upper, struct cm_err *err);

#endif
