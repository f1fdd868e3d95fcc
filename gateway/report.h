/* report: measures what the gateway tells about itself. */
#ifndef GW_REPORT_H
#define GW_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "proxy/apply.h"
#include "proxy/report.h"
#include "tally.h"

/* Fills handshake, bytes and flows of the tunnel "wg0", and what was counted; what
 * cannot be read becomes -1. facts: of the last time, or zeros. Blocking (wg, /proc):
 * on a worker thread. */
void gw_report_measure(int number, const struct gw_tally *tally,
                       struct px_tunnel_facts *facts, struct px_report *report);

/* Established flows in the text of /proc/net/nf_conntrack that belong to the store's
 * end of tunnel `number`; those that came for a port of counts are its open ones. At
 * most 2 million lines are read. */
int64_t gw_report_flows(FILE *conntrack, int number, struct px_counts *counts);

#endif
