#include "report.h"

#include <string.h>

#include "proxy/apply.h"
#include "proxy/state.h"

#define LINES_MAX 2000000

int64_t gw_report_flows(FILE *conntrack, int number)
{
    char inner[46], v4[64], v6[80], line[1024];
    int64_t flows = 0;
    px_inner4(number, 2, inner);
    snprintf(v4, sizeof(v4), " src=%s ", inner);
    /* conntrack writes every group in full. */
    snprintf(v6, sizeof(v6), " src=fd77:%04d:0000:0000:0000:0000:0000:0002 ", number);
    for (int i = 0; i < LINES_MAX && fgets(line, sizeof(line), conntrack) != NULL;
         i++) {
        if (strstr(line, " ESTABLISHED ") != NULL &&
            (strstr(line, v4) != NULL || strstr(line, v6) != NULL)) {
            flows++;
        }
    }
    return flows;
}

void gw_report_measure(int number, struct px_report *report)
{
    struct px_tunnel_facts facts = {-1, -1, -1};
    struct cm_err err;
    if (px_tunnel_facts("wg0", &facts, &err) != 0) {
        facts = (struct px_tunnel_facts){-1, -1, -1};
    }
    report->handshake_age_s = facts.handshake_age_s;
    report->rx_bytes = facts.rx_bytes;
    report->tx_bytes = facts.tx_bytes;
    report->flows = -1;
    FILE *conntrack = fopen("/proc/net/nf_conntrack", "re");
    if (conntrack != NULL) {
        report->flows = gw_report_flows(conntrack, number);
        fclose(conntrack);
    }
}
