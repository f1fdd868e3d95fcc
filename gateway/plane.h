/* plane: keeps chatmail-proxy.service as the document wants it. */
#ifndef GW_PLANE_H
#define GW_PLANE_H

#include "common/err.h"
#include "proxy/state.h"

#define GW_PROXY_CONF "/run/chatmail-gateway/proxy.conf"

/* Both around the loading of rules, so that whoever comes meanwhile finds either the
 * one or the other: blocking (systemctl), on a worker thread; *changed is set, never
 * cleared; nothing is done when all is as it should be.
 *
 * Before: by proxy, its settings are written and its unit runs with them. */
CM_MUSTUSE int gw_plane_enter(const struct px_state *state, const struct px_gateway *gw,
                              bool *changed, struct cm_err *err);
/* After: by the kernel, a proxy that runs shuts its doors now and ends when its last
 * client has gone. */
CM_MUSTUSE int gw_plane_leave(const struct px_gateway *gw, bool *changed,
                              struct cm_err *err);

#endif
