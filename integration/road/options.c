#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

static int64_t begin_ms;

static void progress(const char *text)
{
    fprintf(stderr, "%5.0f s  %s\n", (double)(cm_now_mono_ms() - begin_ms) / 1000.0,
            text);
}

static bool parse_count(const char *text, size_t *out)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || n < 1 || n > ROAD_SAMPLES_MAX) {
        return false;
    }
    *out = (size_t)n;
    return true;
}

int options_parse(int argc, char **argv, size_t messages, struct options *options_r)
{
    struct options o = {.road = {.messages = messages, .progress = progress}};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            o.json = true;
        } else if (strcmp(argv[i], "--no-failover") == 0) {
            o.road.no_failover = true;
        } else if (strcmp(argv[i], "--messages") == 0 && i + 1 < argc &&
                   parse_count(argv[i + 1], &o.road.messages)) {
            i++;
        } else {
            fprintf(stderr, "usage: %s [--messages 1..%d] [--no-failover] [--json]\n",
                    argv[0], ROAD_SAMPLES_MAX);
            return -1;
        }
    }
    *options_r = o;
    return 0;
}

int options_measure(const struct options *options, struct road **road_r)
{
    struct scene scene;
    struct cm_err err;
    struct road *road = cm_calloc(1, sizeof *road);
    begin_ms = cm_now_mono_ms();
    int rc = scene_open(&scene, &err);
    if (rc == 0) {
        rc = road_measure(&scene, &options->road, road, &err);
        scene_close(&scene);
    }
    if (rc != 0) {
        fprintf(stderr, "road: %s\n", err.text);
        free(road);
        return -1;
    }
    *road_r = road;
    return 0;
}

void options_free(struct road **road)
{
    free(*road);
    *road = NULL;
}
