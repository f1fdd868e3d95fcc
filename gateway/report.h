/* report: measures what the gateway tells about itself. */
#ifndef GW_REPORT_H
#define GW_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "carry.h"
#include "proxy/apply.h"
#include "proxy/report.h"
#include "tally.h"

/* A look at all flows takes long when there are many: it is for a twentieth of the
 * time, and what was seen last stands in. Zero at first. */
#define GW_FLOWS_SHARE 20
struct gw_flows {
    struct px_counts counts; /* open connections of ports */
    int64_t flows;
    int64_t next_ms; /* monotonic */
};

/* A look began and ended then. */
void gw_report_paced(struct gw_flows *flows, int64_t began_ms, int64_t ended_ms);

/* Fills handshake, bytes and flows of the tunnel "wg0", and what was counted; what
 * cannot be read becomes -1. facts: of the last time, or zeros. carry: what carries the
 * flows, or NULL; then connection tracking knows them. Blocking (wg, /proc): on a
 * worker thread. */
void gw_report_measure(int number, const struct gw_tally *tally, struct gw_carry *carry,
                       struct px_tunnel_facts *facts, struct gw_flows *flows,
                       struct px_report *report);

/* Established flows in the text of /proc/net/nf_conntrack that belong to the store's
 * end of tunnel `number`; those that came for a port of counts are its open ones. At
 * most 2 million lines are read. */
int64_t gw_report_flows(FILE *conntrack, int number, struct px_counts *counts);

#endif
