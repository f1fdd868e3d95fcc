/* road: what ./demo shows at its end and `./bench road` judges, measured in the lab.
 *
 * Each measurement fills its part of struct road and goes on after a failure: what
 * failed is noted beside the figure, and road_ok() says whether all is well. Only
 * trouble with the lab itself is an error. */
#ifndef ROAD_ROAD_H
#define ROAD_ROAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "scene/scene.h"

#define ROAD_PROBES      9
#define ROAD_SAMPLES_MAX 500

/* One port, spoken to as a client would. */
struct road_probe {
    const char *label; /* "443 imap" */
    int port;
    enum { ROAD_SMTP, ROAD_IMAP, ROAD_HTTP } speak;
};
extern const struct road_probe road_probes[ROAD_PROBES];

struct road_seen {
    char seen[46]; /* address in the store's log, "" when not found */
    char why[200]; /* what went wrong, "" when nothing */
    bool ok;       /* seen is the true one */
};

/* One gateway and address family. */
struct road_door {
    const char *gateway;
    const char *address;
    int family; /* 4 or 6 */
    char client[46];
    struct road_seen ports[ROAD_PROBES];
};

enum {
    ROAD_STRAIGHT,
    ROAD_EDGE1,
    ROAD_EDGE2,
    ROAD_TO_RELAY2,
    ROAD_FROM_RELAY2,
    ROAD_WAYS
};
extern const char *const road_way_names[ROAD_WAYS];

struct road_latency {
    int64_t samples[ROAD_SAMPLES_MAX]; /* ms */
    size_t n;
    size_t lost;
    int64_t p50;
    int64_t p95;
    int64_t join_ms; /* securejoin; -1 where the way shares another's */
    char why[200];
};

struct road {
    struct road_door doors[SCENE_GATEWAY_ADDRESSES];
    struct road_latency ways[ROAD_WAYS];
    char relay2_saw[400]; /* source addresses, blank-separated */
    bool relay2_ok;
    int64_t failover_ms; /* -1 when it did not come */
    char failover_why[200];
};

/* progress: a line about what is measured now; may be NULL. */
struct road_options {
    size_t messages; /* per way, at most ROAD_SAMPLES_MAX */
    bool no_failover;
    void (*progress)(const char *text);
};

CM_MUSTUSE int road_measure(struct scene *scene, const struct road_options *options,
                            struct road *road, struct cm_err *err);
bool road_ok(const struct road *road, const struct road_options *options);

/* The parts, for whoever needs only one. */
CM_MUSTUSE int road_doors(struct scene *scene, struct road *road, struct cm_err *err);
CM_MUSTUSE int road_latency(struct scene *scene, const struct road_options *options,
                            struct road *road, struct cm_err *err);
CM_MUSTUSE int road_failover(struct scene *scene, struct road *road,
                             struct cm_err *err);

#endif
