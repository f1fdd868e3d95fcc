/* tally: what the node counted, over reloads of its rules.
 *
 * A table that is loaded anew counts from zero; here the sums go on, from the start of
 * this process. Pure but for gw_tally_measure. */
#ifndef GW_TALLY_H
#define GW_TALLY_H

#include <stdint.h>

#include "proxy/report.h"

#define GW_TALLY_MAX 64 /* named counters; others are passed over */

struct gw_count {
    char name[24];
    int64_t last_packets, last_bytes; /* as read last */
    int64_t packets, bytes;           /* sums */
};

struct gw_tally { /* zero at first */
    struct gw_count counts[GW_TALLY_MAX];
    size_t count;
};

/* text: of "nft list counters". */
void gw_tally_take(struct gw_tally *tally, const char *text);
/* Ports, and packets kept out. */
void gw_tally_fill(const struct gw_tally *tally, struct px_counts *counts);
/* Reads the counters of our table; none, or no table, changes nothing. Before rules are
 * loaded, so that little is lost. Blocking (nft): on a worker thread. */
void gw_tally_measure(struct gw_tally *tally);

#endif
