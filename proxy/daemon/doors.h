/* doors: the public listeners, and what happens to who knocks. */
#ifndef PROXY_DOORS_H
#define PROXY_DOORS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

#include "relay.h"
#include "settings.h"

struct doors;

struct door_counts {
    uint64_t knocks[SETTINGS_PORTS_MAX]; /* by index of settings.ports */
    uint64_t crowded;                    /* reset: too many from that network */
    uint64_t unserved;                   /* reset: the store does not answer */
};

/* max: connections in all, for the lifetime of the object. */
struct doors *doors_new(struct cm_loop *loop, size_t max);
void doors_free(struct doors **doors);

/* Opens and closes listeners until they are those of `settings` (copied); what is open
 * on a listener that goes stays. Listeners live in every mode: whether a new connection
 * gets as far is for the packet filter to say. On error the ones that could be opened
 * are open. */
CM_MUSTUSE int doors_set(struct doors *doors, const struct settings *settings,
                         struct cm_err *err);

/* While false, who knocks is reset at once. True at birth. */
void doors_serve(struct doors *doors, bool serve);

struct relays *doors_relays(struct doors *doors);
const struct door_counts *doors_counts(const struct doors *doors);

#endif
