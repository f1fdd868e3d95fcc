#include "room.h"

#include <stdlib.h>
#include <string.h>

#define PROC        "/proc/sys/net/netfilter/nf_conntrack_"
#define STAT        "/proc/net/stat/nf_conntrack"
#define LINES_MAX   4096 /* one for each processor */
#define COLUMNS_MAX 64

static bool is_full(const struct gw_room *r, const struct gw_room_sight *s)
{
    if (s->used < 0 || s->max <= 0 || s->dropped < 0 || s->forgotten < 0 || !r->seen) {
        return false;
    }
    int64_t dropped = s->dropped - r->last.dropped;
    int64_t forgotten = s->forgotten - r->last.forgotten;
    if (r->full) {
        return s->used >= s->max / 100 * GW_ROOM_FREE && forgotten <= dropped;
    }
    return s->used >= s->max / 100 * GW_ROOM_FULL && dropped > 0 &&
           dropped >= forgotten;
}

static bool is_used_by_others(struct gw_room *r, const struct gw_room_sight *s)
{
    bool grew = r->seen && !r->last.ours && !s->ours && r->settle == 0 &&
                s->used > r->last.used;

    r->quiet = grew ? 0 : r->quiet + (r->quiet < GW_ROOM_QUIET);
    return grew || (r->others && r->quiet < GW_ROOM_QUIET);
}

void gw_room_found(struct gw_room *r)
{
    r->others = true;
    r->quiet = 0;
}

bool gw_room_take(struct gw_room *r, const struct gw_room_sight *s)
{
    bool was = r->full;
    r->full = is_full(r, s);
    r->others = is_used_by_others(r, s);
    r->settle = s->ours ? GW_ROOM_SETTLES : r->settle - (r->settle > 0);
    r->tracks = r->others || r->settle > 0;
    r->last = *s;
    r->seen = s->dropped >= 0 && s->forgotten >= 0;
    return r->full != was;
}

/* Which column of the head is that; -1. */
static int column(const char *head, const char *name)
{
    char words[1024], *rest = NULL;
    int i = 0;
    snprintf(words, sizeof(words), "%s", head);
    for (char *word = strtok_r(words, " \n", &rest); word != NULL;
         word = strtok_r(NULL, " \n", &rest), i++) {
        if (strcmp(word, name) == 0) {
            return i;
        }
    }
    return -1;
}

void gw_room_counters(FILE *stat, struct gw_room_sight *sight_r)
{
    char line[1024];
    sight_r->dropped = sight_r->forgotten = -1;
    if (fgets(line, sizeof(line), stat) == NULL) {
        return;
    }
    int drop = column(line, "drop"), early = column(line, "early_drop");
    if (drop < 0 || early < 0) {
        return;
    }
    sight_r->dropped = sight_r->forgotten = 0;
    for (int n = 0; n < LINES_MAX && fgets(line, sizeof(line), stat) != NULL; n++) {
        char *at = line, *end = line;
        for (int i = 0; i < COLUMNS_MAX; i++, at = end) {
            int64_t value = (int64_t)strtoul(at, &end, 16);
            if (end == at) {
                break;
            }
            sight_r->dropped += i == drop ? value : 0;
            sight_r->forgotten += i == early ? value : 0;
        }
    }
}

static int64_t number(const char *path)
{
    char line[32] = "", *end;
    FILE *f = fopen(path, "re");
    bool got = f != NULL && fgets(line, sizeof(line), f) != NULL;
    if (f != NULL) {
        fclose(f);
    }
    long long value = got ? strtoll(line, &end, 10) : -1;
    return got && end != line ? value : -1;
}

void gw_room_measure(struct gw_room_sight *sight_r)
{
    *sight_r = (struct gw_room_sight){.used = number(PROC "count"),
                                      .max = number(PROC "max"),
                                      .dropped = -1,
                                      .forgotten = -1};
    FILE *stat = fopen(STAT, "re");
    if (stat != NULL) {
        gw_room_counters(stat, sight_r);
        fclose(stat);
    }
}
