/* How long a message takes, send call to the other client's event, by each way. The
 * ways take turns, so that whatever else the machine does hits them all alike. */
#include "road.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "scene/seen.h"
#include "stats.h"

#define SPACING_MS 1200 /* the core limits itself to about one message per second */
#define JOIN_MS    90000
#define MESSAGE_MS 60000

const char *const road_way_names[ROAD_WAYS] = {
    "straight to the store", "through edge1", "through edge2", "to relay2",
    "from relay2",
};

struct way {
    struct chat_end from;
    struct chat_end to;
    bool usable;
};

/* What each pair of accounts is made of. */
struct pair {
    int way;          /* from `a` to `b` */
    int back;         /* the way from `b` to `a`, -1 when that is not measured */
    const char *node; /* where `a` and `b` run */
    const char *a_domain, *a_host;
    const char *b_domain, *b_host;
};

static const struct pair pairs[] = {
    {ROAD_STRAIGHT, -1, "operator", SCENE_DOMAIN, SCENE_STORE_LAN, SCENE_DOMAIN,
     SCENE_STORE_LAN},
    {ROAD_EDGE1, -1, "client", SCENE_DOMAIN, "198.51.100.11", SCENE_DOMAIN,
     "198.51.100.11"},
    {ROAD_EDGE2, -1, "client", SCENE_DOMAIN, "203.0.113.12", SCENE_DOMAIN,
     "203.0.113.12"},
    {ROAD_TO_RELAY2, ROAD_FROM_RELAY2, "client", SCENE_DOMAIN, "203.0.113.12",
     SCENE_RELAY2, SCENE_RELAY2_IP},
};

static int prepare_pair(const struct pair *pair, struct chat_client *client,
                        struct way ways[ROAD_WAYS], struct road *road,
                        struct cm_err *err)
{
    struct chat_end a;
    struct chat_end b;
    if (scene_chat_account(client, pair->a_domain, pair->a_host, &a, err) != 0 ||
        scene_chat_account(client, pair->b_domain, pair->b_host, &b, err) != 0 ||
        chat_join(&b, &a, JOIN_MS, &road->ways[pair->way].join_ms, err) != 0) {
        return -1;
    }
    ways[pair->way] = (struct way){.from = a, .to = b, .usable = true};
    if (pair->back >= 0) {
        ways[pair->back] = (struct way){.from = b, .to = a, .usable = true};
    }
    return 0;
}

static void note(struct road_latency *latency, const struct cm_err *err)
{
    if (latency->why[0] == '\0') {
        snprintf(latency->why, sizeof latency->why, "%.199s", err->text);
    }
}

static void one_message(struct way *way, struct road_latency *latency, int index,
                        size_t i)
{
    char text[64];
    int64_t ms;
    struct cm_err err;
    snprintf(text, sizeof text, "message %zu %s", i, road_way_names[index]);
    if (chat_deliver(&way->from, &way->to, text, MESSAGE_MS, &ms, &err) != 0) {
        latency->lost++;
        note(latency, &err);
        return;
    }
    latency->samples[latency->n++] = ms;
}

static void rounds(struct way ways[ROAD_WAYS], const struct road_options *options,
                   struct road *road)
{
    for (size_t i = 0; i < options->messages; i++) {
        int64_t next = cm_now_mono_ms() + SPACING_MS;
        for (int w = 0; w < ROAD_WAYS; w++) {
            /* Two in a row that never came: the rest of that way would only cost time.
             */
            if (ways[w].usable && road->ways[w].lost < 2) {
                one_message(&ways[w], &road->ways[w], w, i);
            }
        }
        int64_t left = next - cm_now_mono_ms();
        if (left > 0) {
            usleep((useconds_t)left * 1000);
        }
    }
}

/* By SMTP on port 25 or by HTTPS. */
static int relay2_sources(struct scene *scene, const struct scene_mark *mark,
                          struct road *road, struct cm_err *err)
{
    char *log = NULL;
    if (scene_journal(scene, "relay2", mark, "-t postfix/smtpd", &log, err) != 0) {
        return -1;
    }
    seen_connects(log, road->relay2_saw, sizeof road->relay2_saw);
    free(log);
    if (scene_journal(scene, "relay2", mark, "-t nginx", &log, err) != 0) {
        return -1;
    }
    seen_posts(log, "/mxdeliv\" 200", road->relay2_saw, sizeof road->relay2_saw);
    free(log);
    road->relay2_ok = road->relay2_saw[0] != '\0';
    char words[sizeof road->relay2_saw];
    memcpy(words, road->relay2_saw, sizeof words);
    char *save = NULL;
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        road->relay2_ok &= scene_is_gateway_address(w);
    }
    return 0;
}

static void summarize(struct road_latency *latency)
{
    latency->p50 = stats_percentile(latency->samples, latency->n, 50);
    latency->p95 = stats_percentile(latency->samples, latency->n, 95);
}

static void prepare(struct chat_client *in_client, struct chat_client *in_operator,
                    struct way ways[ROAD_WAYS], struct road *road)
{
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct cm_err err;
        bool home = strcmp(pairs[i].node, "operator") == 0;
        if (prepare_pair(&pairs[i], home ? in_operator : in_client, ways, road, &err) !=
            0) {
            note(&road->ways[pairs[i].way], &err);
            if (pairs[i].back >= 0) {
                note(&road->ways[pairs[i].back], &err);
            }
        }
    }
}

int road_latency(struct scene *scene, const struct road_options *options,
                 struct road *road, struct cm_err *err)
{
    struct way ways[ROAD_WAYS] = {0};
    struct scene_mark mark;
    if (scene_mark(scene, "relay2", &mark, err) != 0) {
        return -1;
    }
    struct chat_client *in_client = scene_chat(scene, "client", err);
    struct chat_client *in_operator =
        in_client == NULL ? NULL : scene_chat(scene, "operator", err);
    int rc = in_operator == NULL ? -1 : 0;
    if (rc == 0) {
        for (int w = 0; w < ROAD_WAYS; w++) {
            road->ways[w] = (struct road_latency){.join_ms = -1};
        }
        prepare(in_client, in_operator, ways, road);
        rounds(ways, options, road);
        for (int w = 0; w < ROAD_WAYS; w++) {
            summarize(&road->ways[w]);
        }
        rc = relay2_sources(scene, &mark, road, err);
    }
    chat_close(&in_client);
    chat_close(&in_operator);
    return rc;
}
