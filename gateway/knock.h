/* knock: asks the store through the tunnel what a user would: connects from this
 * gateway's own public address to the store's inner one, so that the store's firewall
 * takes it for what it is, and awaits the greetings of SMTP and IMAP, and a connection
 * at 443. One round every GW_KNOCK_MS. */
#ifndef GW_KNOCK_H
#define GW_KNOCK_H

#include "common/loop.h"
#include "proxy/report.h"
#include "proxy/state.h"

#define GW_KNOCK_MS 10000

struct gw_knock;

struct gw_knock *gw_knock_new(struct cm_loop *loop);
void gw_knock_free(struct gw_knock **knock);
/* To be called every second or so. A round begins when it is time and the last one is
 * over. The first address of the gateway counts; in mode off nobody knocks. */
void gw_knock_tick(struct gw_knock *knock, const struct px_state *state,
                   const struct px_gateway *gw);
/* What was seen last, into report->probes. */
void gw_knock_report(const struct gw_knock *knock, struct px_report *report);

#endif
