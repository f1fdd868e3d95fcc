/* egress_file: tells chatmail-transport by which gateways mail may leave now, so that
 * it can bind its connections to them (store/transport/egress.h reads it).
 *
 * One line per healthy egress gateway, best first: its number, the store's inner
 * addresses of that tunnel ("-" for a family in which the gateway has no public
 * address), the EHLO name, its weight. The name is the mail domain for each of them,
 * because its A and AAAA records hold the addresses of all gateways, SPF refers to
 * those, and the PTR that `chatops dns` asks for leads back to it; "-", the store's own
 * name, for a relay that has an address and no domain. "direct" alone: nothing is to be
 * bound. Empty: no gateway is healthy. */
#ifndef EGRESS_FILE_H
#define EGRESS_FILE_H

#include <stddef.h>

#include "proxy/state.h"

#define EGRESS_FILE_PATH "/run/chatmail-cluster/egress"

/* Pure. healthy: gateway numbers, best first. Caller frees. */
char *egress_file_text(const struct px_state *state, const int *healthy, size_t n);

/* Replaces the file at path, readable for all, when the text is not the one it wrote
 * last (*last_r; NULL at first; owned by the caller). What fails is logged, and done
 * again at the next call. */
void egress_file_write(const char *path, char *text, char **last_r);

#endif
