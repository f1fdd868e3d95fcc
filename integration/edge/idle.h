/* idle: many connections that are open at once: what each costs, and whether a reload
 * of the rules harms any. */
#ifndef EDGE_IDLE_H
#define EDGE_IDLE_H

#include "benchrows/rows.h"
#include "path.h"

/* Memory of the proxies for each idle connection. */
CM_MUSTUSE int idle_memory(struct path *path, bool quick, struct rows *rows,
                           struct cm_err *err);
/* Flows that a reload of the kernel plane's rules cost, all of them speaking. */
CM_MUSTUSE int idle_reload(struct path *path, bool quick, struct rows *rows,
                           struct cm_err *err);

struct idle_hold {
    const char *address;
    size_t n;
    bool speaks; /* a byte there and back on each in turn, all the time; else silence */
    int (*between)(struct path *path, void *ctx, struct cm_err *err);
    void *ctx;
};
/* Opens n connections from the client, lets `between` happen, and counts those that
 * never failed. -1 when not all could be opened, or `between` failed. */
CM_MUSTUSE int idle_hold(struct path *path, const struct idle_hold *hold,
                         size_t *alive_r, struct cm_err *err);

#endif
