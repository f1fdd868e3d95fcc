/* desk: the store's end of the bus (docs/bus.md). Serves the newest envelope, and takes
 * reports.
 *
 * nanomsg does not say who sent a message, so each gateway has sockets of its own,
 * bound to the inner store address of its tunnel: what comes in there comes from that
 * gateway, whatever it calls itself. An address that is not there yet is tried again at
 * the next desk_open. */
#ifndef DESK_H
#define DESK_H

#include <stdbool.h>

#include "common/loop.h"
#include "proxy/report.h"
#include "proxy/state.h"

struct desk;

struct desk_hooks {
    /* A well-formed report whose name is that of the gateway behind this tunnel. */
    void (*report)(int number, const struct px_report *report, void *ctx);
    void *ctx;
};

struct desk *desk_new(struct cm_loop *loop, const struct desk_hooks *hooks);
void desk_free(struct desk **desk);
/* Opens what is missing for the gateways of state, closes what is not in it. Returns
 * true when all of them are open. */
bool desk_open(struct desk *desk, const struct px_state *state);
/* The envelope to serve from now on; published at once. "" serves nothing. */
void desk_serve(struct desk *desk, const char *envelope);

#endif
