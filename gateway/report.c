#include "report.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "proxy/apply.h"
#include "proxy/state.h"
#include "uplink.h"

#define LINES_MAX 2000000

/* The answering direction comes from the store's port that the client asked for. */
static void count_open(const char *from_store, struct px_counts *counts)
{
    const char *at = strstr(from_store, " sport=");
    unsigned long port = at != NULL ? strtoul(at + strlen(" sport="), NULL, 10) : 0;
    for (size_t i = 0; i < counts->port_count; i++) {
        counts->ports[i].open += counts->ports[i].port == port;
    }
}

int64_t gw_report_flows(FILE *conntrack, int number, struct px_counts *counts)
{
    char inner[46], v4[64], v6[80], line[1024];
    int64_t flows = 0;
    px_inner4(number, 2, inner);
    snprintf(v4, sizeof(v4), " src=%s ", inner);
    for (size_t i = 0; i < counts->port_count; i++) {
        counts->ports[i].open = 0;
    }
    /* conntrack writes every group in full. */
    snprintf(v6, sizeof(v6), " src=fd77:%04d:0000:0000:0000:0000:0000:0002 ", number);
    for (int i = 0; i < LINES_MAX && fgets(line, sizeof(line), conntrack) != NULL;
         i++) {
        const char *at = strstr(line, v4) != NULL ? strstr(line, v4) : strstr(line, v6);
        if (at != NULL && strstr(line, " ESTABLISHED ") != NULL) {
            flows++;
            count_open(at, counts);
        }
    }
    return flows;
}

void gw_report_paced(struct gw_flows *flows, int64_t began_ms, int64_t ended_ms)
{
    flows->next_ms = ended_ms + (ended_ms - began_ms) * (GW_FLOWS_SHARE - 1);
}

static void look_at_table(int number, struct gw_flows *last)
{
    FILE *conntrack = fopen("/proc/net/nf_conntrack", "re");

    last->flows = -1;
    if (conntrack != NULL) {
        last->flows = gw_report_flows(conntrack, number, &last->counts);
        fclose(conntrack);
    }
}

static void look_at_flows(int number, struct gw_carry *carry, struct gw_flows *last,
                          struct px_report *report)
{
    int64_t began = cm_now_mono_ms();
    if (began >= last->next_ms) {
        last->counts = report->counts;
        if (carry != NULL) {
            last->flows = gw_carry_open(carry, &last->counts);
        } else {
            look_at_table(number, last);
        }
        gw_report_paced(last, began, cm_now_mono_ms());
    }
    report->flows = last->flows;
    for (size_t i = 0; i < report->counts.port_count; i++) {
        struct px_port_counts *port = &report->counts.ports[i];
        for (size_t k = 0; k < last->counts.port_count; k++) {
            if (last->counts.ports[k].port == port->port) {
                port->open = last->counts.ports[k].open;
            }
        }
    }
}

void gw_report_measure(int number, const struct gw_tally *tally, struct gw_carry *carry,
                       struct px_tunnel_facts *facts, struct gw_flows *flows,
                       struct px_report *report)
{
    static const struct px_tunnel_facts unknown = {
        .handshake_age_s = -1, .rx_bytes = -1, .tx_bytes = -1};
    struct cm_err err;
    if (px_tunnel_facts("wg0", facts, &err) != 0) {
        *facts = unknown;
    }
    report->handshake_age_s = facts->handshake_age_s;
    report->rx_bytes = facts->rx_bytes;
    report->tx_bytes = facts->tx_bytes;
    report->counts = px_counts_unknown();
    gw_uplink_measure(&report->counts);
    gw_tally_fill(tally, &report->counts);
    if (carry != NULL) {
        gw_carry_count(carry, &report->counts);
    }
    look_at_flows(number, carry, flows, report);
}
