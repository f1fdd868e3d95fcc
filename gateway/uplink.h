/* uplink: the interfaces through which this node reaches the world. */
#ifndef GW_UPLINK_H
#define GW_UPLINK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "proxy/report.h"
#include "proxy/state.h"

/* Bytes in and out of the interfaces that have a default route, tunnels left out; -1
 * when there is none. The files are those of /proc/net: dev, route, ipv6_route; NULL:
 * not there. */
int64_t gw_uplink_bytes(FILE *dev, FILE *route, FILE *route6);
/* Fills uplink_bytes and boot from /proc. */
void gw_uplink_measure(struct px_counts *counts);

#define GW_UPLINKS_MAX 8

struct gw_uplink {
    int index;  /* of the interface */
    bool ether; /* its packets have an Ethernet header; else none at all */
};
/* The interfaces that have one of the gateway's addresses or a default route, tunnels
 * of ours and loopback left out; how many. */
size_t gw_uplinks(const struct px_gateway *gw, struct gw_uplink out[GW_UPLINKS_MAX]);

#endif
