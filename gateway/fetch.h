/* fetch: the gateway's end of the bus (docs/bus.md): hears "epoch N is out", asks for
 * the newest document every few seconds, pushes reports. Never blocks; a dead store
 * costs nothing but silence, and after a while the connections are opened anew, because
 * TCP would wait minutes before it tries a store that is back. */
#ifndef GW_FETCH_H
#define GW_FETCH_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

#define GW_POLL_MS    5000
#define GW_HURRY_MS   1000
#define GW_SILENCE_MS 8000 /* one question without an answer, and a bit */
#define GW_REOPEN_MS  3000 /* then: TCP alone waits longer from try to try */

struct gw_fetch;

struct gw_fetch_hooks {
    /* A document, maybe one that is known already, maybe nonsense. */
    void (*document)(const char *envelope, size_t len, void *ctx);
    /* An answer to a question asked since the connections were opened, before the
     * document that came with it. */
    void (*answered)(void *ctx);
    int64_t (*epoch)(void *ctx); /* what we have, for the question */
    void *ctx;
};

struct gw_fetch *gw_fetch_new(struct cm_loop *loop, const char *name,
                              const struct gw_fetch_hooks *hooks, struct cm_err *err);
void gw_fetch_free(struct gw_fetch **fetch);
/* Where the store is. Opens the connections anew and asks at once. */
CM_MUSTUSE int gw_fetch_target(struct gw_fetch *fetch, int number, int bus_port,
                               struct cm_err *err);
void gw_fetch_report(struct gw_fetch *fetch, const char *text);
/* Monotonic; 0: never. */
int64_t gw_fetch_heard_ms(const struct gw_fetch *fetch);

#endif
