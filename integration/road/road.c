#include "road.h"

#include <string.h>

#define SERVES_S 60

static void tell(const struct road_options *options, const char *text)
{
    if (options->progress != NULL) {
        options->progress(text);
    }
}

/* After a boot the tunnels need some seconds. */
static int await_gateways(struct scene *scene, struct cm_err *err)
{
    for (const struct scene_gateway *gw = scene_gateways; gw->name != NULL; gw++) {
        if (scene_wait_gateway(scene, gw, SERVES_S, err) != 0) {
            return -1;
        }
    }
    return 0;
}

int road_measure(struct scene *scene, const struct road_options *options,
                 struct road *road, struct cm_err *err)
{
    memset(road, 0, sizeof *road);
    road->failover_ms = -1;
    tell(options, "waiting until every gateway serves");
    if (await_gateways(scene, err) != 0) {
        return -1;
    }
    tell(options, "every port of every gateway, v4 and v6: whom does the store see?");
    if (road_doors(scene, road, err) != 0) {
        return -1;
    }
    tell(options, "real clients: accounts, handshakes, messages by five ways");
    if (road_latency(scene, options, road, err) != 0) {
        return -1;
    }
    if (options->no_failover) {
        return 0;
    }
    tell(options, "power cut of edge1 under a connected client");
    return road_failover(scene, road, err);
}

static bool doors_ok(const struct road *road)
{
    for (size_t i = 0; i < SCENE_GATEWAY_ADDRESSES; i++) {
        for (size_t p = 0; p < ROAD_PROBES; p++) {
            if (!road->doors[i].ports[p].ok) {
                return false;
            }
        }
    }
    return true;
}

static bool ways_ok(const struct road *road, size_t messages)
{
    for (size_t w = 0; w < ROAD_WAYS; w++) {
        if (road->ways[w].n != messages) {
            return false;
        }
    }
    return true;
}

bool road_ok(const struct road *road, const struct road_options *options)
{
    return doors_ok(road) && ways_ok(road, options->messages) && road->relay2_ok &&
           (options->no_failover || road->failover_ms >= 0);
}
