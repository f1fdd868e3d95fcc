/* From LMTP's 250 to EXISTS, for clients that stay in IDLE, by the gap between mails:
 * our plugin in Debian's Dovecot, hibernation on as we deploy it, against the same
 * Dovecot without the plugin. idle-sweep (integration/sweep) is what measures. */
#include <stdio.h>
#include <string.h>

#include "common/run.h"

#include "bench.h"

#define P95_GOAL_MS 30.0
#define LIMIT_MS    300000

static const struct gap {
    const char *name;
    unsigned ms;
    unsigned lanes; /* clients at a time */
    unsigned rounds[BENCH_FULL + 1];
    bool stock; /* with the plain Dovecot too: it hibernates nobody, and is slow */
} gaps[] = {
    {"0.2s", 200, 4, {3, 25, 100}, true},
    {"0.5s", 500, 4, {2, 20, 100}, true},
    {"2s", 2000, 10, {1, 8, 50}, false},
    {"30s", 30000, 20, {0, 2, 10}, false},
};

struct seen {
    unsigned sent, announced;
    double p50, p95;
};

/* Takes the last line of idle-sweep's table. */
static int read_table(const char *out, struct seen *seen)
{
    const char *all = strstr(out, " all ");
    int n = all == NULL ? 0
                        : sscanf(all, " all %u %u %lf %lf", &seen->sent,
                                 &seen->announced, &seen->p50, &seen->p95);
    return n == 4 && seen->announced > 0 ? 0 : -1;
}

static int sweep(const struct gap *gap, unsigned rounds, bool plugin, struct seen *seen,
                 struct cm_err *err)
{
    char from[16], to[16], times[16], spread[16];
    const char *argv[] = {SWEEP_PROGRAM,
                          "--root",
                          UNPACKED,
                          "--stay",
                          "--from",
                          from,
                          "--to",
                          to,
                          "--step",
                          "1",
                          "--p95",
                          "60000",
                          "--rounds",
                          times,
                          "--spread",
                          spread,
                          "--hibernate",
                          plugin ? "1" : "0",
                          plugin ? "--plugin" : NULL,
                          IDLE_PLUGIN,
                          NULL};
    struct cm_run_result res;
    snprintf(from, sizeof(from), "%u", gap->ms);
    snprintf(to, sizeof(to), "%u", gap->ms + gap->lanes - 1);
    /* one mail at a time: what a burst costs is another question */
    snprintf(spread, sizeof(spread), "%u", gap->ms / gap->lanes);
    snprintf(times, sizeof(times), "%u", rounds);
    int rc = cm_run(&(struct cm_run){.argv = argv, .timeout_ms = LIMIT_MS}, &res, err);
    if (rc == 0 && read_table(res.out.data, seen) != 0) {
        rc = cm_err_set(err, CM_ERR_WORLD, "gap %s: %.300s", gap->name, res.err.data);
    }
    cm_run_result_clear(&res);
    return rc;
}

/* The stock delay does not depend on the gap, so the longer ones are compared with the
 * last that was measured. */
static int measure(const struct gap *gap, unsigned rounds, struct rows *rows,
                   struct cm_err *err)
{
    static struct seen stock;
    struct seen ours;
    char name[32];
    if (sweep(gap, rounds, true, &ours, err) != 0 ||
        (gap->stock && sweep(gap, rounds, false, &stock, err) != 0)) {
        return -1;
    }
    snprintf(name, sizeof(name), "idle_%s_p50", gap->name);
    rows_add(rows, name, ours.p50, "ms");
    snprintf(name, sizeof(name), "idle_%s_p95", gap->name);
    struct row *row = rows_add(rows, name, ours.p95, "ms");
    snprintf(row->goal, sizeof(row->goal), "< %.0f, none lost", P95_GOAL_MS);
    row->ok = ours.p95 < P95_GOAL_MS && ours.announced == ours.sent;
    row->compared_with = gap->stock ? "stock Dovecot" : "stock at 0.5s";
    row->ratio = (ours.p95 > 0 ? ours.p95 : 1) / stock.p95;
    return 0;
}

int bench_idle(enum bench_size size, struct rows *rows, struct cm_err *err)
{
    const char *argv[] = {UNPACK_SCRIPT, UNPACKED, NULL};
    if (cm_run_ok(&(struct cm_run){.argv = argv}, NULL, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
        unsigned rounds = gaps[i].rounds[size];
        if (rounds > 0 && measure(&gaps[i], rounds, rows, err) != 0) {
            return -1;
        }
    }
    return 0;
}
