/* engine: brings the node to what the accepted document says, and keeps it there.
 *
 * All touching happens on one worker thread, one job at a time: apply (a new document,
 * a fault, or every GW_RECONCILE_MS, to repair what somebody else changed) and measure.
 *
 * A document under which the store falls silent is taken back (trial.h). The highest
 * epoch stays the mark below which nothing is taken.
 */
#ifndef GW_ENGINE_H
#define GW_ENGINE_H

#include <stdint.h>

#include "boot.h"
#include "common/loop.h"
#include "proxy/report.h"

#define GW_TICK_MS      1000
#define GW_RECONCILE_MS 5000

/* Names, in this order: starting, waiting, applying, following, fault. */
enum gw_engine_state {
    GW_STARTING,  /* the tunnel is not up yet */
    GW_WAITING,   /* tunnel up, no document since this start */
    GW_APPLYING,  /* a new document is being put in force */
    GW_FOLLOWING, /* the document is in force */
    GW_FAULT,     /* the last attempt failed; what was in force before still is */
};

struct gw_engine;

struct gw_engine_hooks {
    /* Every GW_TICK_MS, and at once after each change of epoch. */
    void (*report)(const struct px_report *report, void *ctx);
    /* Another document is in force: its numbers for the bus. What is open was opened
     * under the former one and shows nothing: ask anew. */
    void (*in_force)(int number, int bus_port, void *ctx);
    void (*state)(const char *name, int64_t epoch, void *ctx);
    void *ctx;
};

/* boot and private_key are copied. kept_flows: the map of open connections that the
 * process before this one has left (carry.h), or -1; stays the caller's. */
struct gw_engine *gw_engine_new(struct cm_loop *loop, const struct gw_boot *boot,
                                const char *private_key, int kept_flows,
                                const struct gw_engine_hooks *hooks);
void gw_engine_free(struct gw_engine **engine); /* waits for a running job */
/* gateway.conf was read again. */
void gw_engine_boot(struct gw_engine *engine, const struct gw_boot *boot);

/* The store has answered a question that was asked after the last call of in_force. */
void gw_engine_heard(struct gw_engine *engine);
/* A document came. Refusals are logged once per document. */
void gw_engine_offer(struct gw_engine *engine, const char *envelope, size_t len);
/* The epoch taken last, or found in the kernel at the start; 0: none. */
int64_t gw_engine_epoch(const struct gw_engine *engine);
const char *gw_engine_state_name(enum gw_engine_state state);

#endif
