/* report: what a gateway says about itself every second (docs/bus.md), as plain data.
 *
 * A report comes from a machine that may be stolen: parsing is strict, every number has
 * a range, every text a length and an alphabet. -1 means "unknown" where said. */
#ifndef PX_REPORT_H
#define PX_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "proxy/state.h"
#include "proxy/probe.h"

#define PX_REPORT_MAX 4096 /* bytes of JSON */
#define PX_SIGHTS_MAX 16

/* What was seen at a port of the store's, through the tunnel. */
struct px_sight {
    uint16_t port;
    enum px_probe_result result;
    int64_t ms;
};

/* Since the agent was started. -1: unknown. */
struct px_port_counts {
    uint16_t port;
    int64_t open;                 /* connections, now */
    int64_t flows;                /* connections begun */
    int64_t in_packets, in_bytes; /* from clients */
    int64_t out_packets, out_bytes;
};

struct px_counts {
    int64_t
        uplink_bytes; /* of the node's own network, in and out, since its boot; -1 */
    char boot[37];    /* which boot: the kernel's boot_id; "" */
    int64_t banned, flooding, strangers, crowded; /* packets kept out (guard.h); -1 */
    /* Of the kernel's table of connections (1.2): entries, how many it takes, and 1
     * while it is full and new connections are refused. -1: unknown. */
    int64_t table_used, table_max, table_full;
    /* 1 while programs carry what is open, and idle clients can be told when it is
     * over; 0; -1: unknown (1.3). */
    int64_t carried;
    struct px_port_counts ports[PX_PORTS_MAX]; /* ascending */
    size_t port_count;
};

static inline struct px_counts px_counts_unknown(void)
{
    return (struct px_counts){.uplink_bytes = -1,
                              .banned = -1,
                              .flooding = -1,
                              .strangers = -1,
                              .crowded = -1,
                              .table_used = -1,
                              .table_max = -1,
                              .table_full = -1,
                              .carried = -1};
}

struct px_report {
    char name[33];
    char version[32];
    int64_t applied_epoch;   /* 0: none yet */
    char applied_mode[16];   /* active | drain | hold | off; "" when none */
    int64_t handshake_age_s; /* -1 */
    int64_t flows;           /* -1 */
    int64_t rx_bytes;        /* of wg0; -1 */
    int64_t tx_bytes;        /* -1 */
    struct px_counts counts;
    int64_t reverted_epoch; /* newer, cut it off and was taken back; 0: none (1.1) */
    struct px_sight probes[PX_SIGHTS_MAX]; /* (1.1) */
    size_t probe_count;
    char error[256]; /* last error in force, printable ASCII; "" */
};

/* Canonical JSON; caller frees. Bytes of `error` that may not travel become '?'. */
char *px_report_dump(const struct px_report *report);
CM_MUSTUSE int px_report_parse(const char *text, size_t len, struct px_report *report_r,
                               struct cm_err *err);

#endif
