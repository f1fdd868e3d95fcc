/* plane: keeps chatmail-proxy.service as the document wants it. */
#ifndef GW_PLANE_H
#define GW_PLANE_H

#include "common/err.h"
#include "proxy/state.h"

#define GW_PROXY_CONF "/run/chatmail-gateway/proxy.conf"

/* By proxy: its settings are written and its unit runs with them. Call it before the
 * rules that send clients there. By the kernel: a proxy that runs is told to take its
 * leave when its last client has gone. Nothing is done when all is as it should be.
 * Blocking (systemctl): on a worker thread. *changed is set, never cleared. */
CM_MUSTUSE int gw_plane_follow(const struct px_state *state,
                               const struct px_gateway *gw, bool *changed,
                               struct cm_err *err);

#endif
