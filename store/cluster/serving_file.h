/* serving_file: tells chatmail-dns which gateways serve, and with which addresses
 * (store/dns/feed.h reads it).
 *
 *   domain chat.example.org
 *   edge1 active up 198.51.100.11 2001:db8:1::11
 *
 * name, mode, health (health.h), public addresses; one line for each gateway, by
 * number. Without a domain, or before the first document, the file is empty. */
#ifndef SERVING_FILE_H
#define SERVING_FILE_H

#include "health.h"
#include "proxy/state.h"

#define SERVING_FILE_PATH "/run/chatmail-cluster/gateways"

/* Pure. Caller frees. */
char *serving_file_text(const struct px_state *state, const struct health *health);

#endif
