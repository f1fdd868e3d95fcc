/* bus_pub: the publishing end of the bus, spoken as nanomsg speaks it over TCP
 * (SP header of 8 bytes, then for each message its length in 8 bytes and the message).
 *
 * nanomsg 1.1.5 ends its process when a subscriber says anything but the header; a
 * stolen gateway can. Here such a peer is hung up on. Private to bus.c. */
#ifndef BUS_PUB_H
#define BUS_PUB_H

#include <stddef.h>

#include "common/err.h"
#include "common/loop.h"

/* Of one socket; one more takes the place of the oldest. */
#define BUS_PUB_PEERS_MAX 64

struct bus_pub;

struct bus_pub *bus_pub_new(struct cm_loop *loop);
void bus_pub_free(struct bus_pub **pub);
/* url as in bus.h, numeric. One address for each bus_pub. */
CM_MUSTUSE int bus_pub_bind(struct bus_pub *pub, const char *url, struct cm_err *err);
void bus_pub_unbind(struct bus_pub *pub);
/* To all that have said their header. A peer that is still busy with an earlier message
 * gets the newest of those that come meanwhile, or none. */
void bus_pub_send(struct bus_pub *pub, const char *data, size_t len);

#endif
