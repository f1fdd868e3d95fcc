/* netns: a socket made inside a network namespace. It keeps that namespace, so the
 * calling thread is away only for a moment.
 * Also for who plays the network (integration/scenarios). */
#ifndef PROBE_NETNS_H
#define PROBE_NETNS_H

#include "common/err.h"

/* netns: path such as /run/netns/client; NULL: this process's own. type: SOCK_STREAM or
 * SOCK_DGRAM. -1 with err. */
CM_MUSTUSE int netns_socket(const char *netns, int family, int type,
                            struct cm_err *err);

#endif
