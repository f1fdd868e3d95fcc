#include "planes.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netkit/netkit.h"

#include "compare.h"
#include "load.h"

#define STREAMS 4
#define THREADS 16
#define PINGS   3000

/* So many rounds at least, and more until the ratios that have a goal are known to
 * KNOWN or it has been enough. */
#define ROUNDS     16
#define ROUNDS_MAX 48
#define KNOWN      0.01
#define TURN_MS    1000

/* By then the kernel has thrown away the rules and programs of the carrier before. */
#define SETTLE_US 300000

struct result {
    double up, down;    /* bytes a second */
    double connections; /* a second */
    double p50_ms, p99_ms;
    double cpu_gb;         /* of the carrying process: seconds for 10^9 bytes up */
    double cpu_connection; /* ms */
};

enum measured { STREAM_UP, STREAM_DOWN, MANY, PING, MEASURED };

/* Carriers that are measured in turn: one, and what it is compared with. */
static const struct lot {
    enum carrier carriers[3];
    size_t count;
    bool measured[MEASURED];
    bool goal; /* of what is measured, but for PING */
} lots[] = {
    {{CARRIER_KERNEL, CARRIER_BARE}, 2, {[STREAM_UP] = true, true, true}, true},
    {{CARRIER_PROXY, CARRIER_NGINX, CARRIER_HAPROXY},
     3,
     {[STREAM_UP] = true, true, true},
     true},
    {{CARRIER_RULES, CARRIER_BARE}, 2, {[STREAM_UP] = true, true, true}, false},
    {{CARRIER_PROXY, CARRIER_KERNEL, CARRIER_BARE}, 3, {[PING] = true}, false},
};

enum { OF_KERNEL, OF_PROXY, OF_RULES, OF_LATENCY, LOTS };

struct series {
    struct result of[CARRIERS][ROUNDS_MAX];
    size_t rounds[MEASURED];
};

/* ---- one figure ---- */

struct turn {
    const char *address;
    int64_t ms;
    unsigned pings;
};

/* Each runs in the client's namespace. */
static void measure_up(const struct turn *t, struct result *r)
{
    r->up = load_upload(t->address, STREAMS, t->ms);
}

static void measure_down(const struct turn *t, struct result *r)
{
    r->down = load_download(t->address, STREAMS, t->ms);
}

static void measure_connections(const struct turn *t, struct result *r)
{
    r->connections = load_connections(t->address, THREADS, t->ms);
}

static void measure_latency(const struct turn *t, struct result *r)
{
    load_latency(t->address, t->pings, &r->p50_ms, &r->p99_ms);
}

/* Returns the CPU time that the carrying process took meanwhile. `out` is shared with
 * the child. */
static double measure(const struct path *path, const struct turn *t, struct result *out,
                      void (*what)(const struct turn *, struct result *))
{
    double before = path_cpu_s(path);
    pid_t pid = netkit_fork(path->client);

    if (pid == 0) {
        path_take_core(PATH_GATEWAY_CORE);
        what(t, out);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    return path_cpu_s(path) - before;
}

static void measure_one(const struct path *path, const struct turn *t,
                        struct result *now, enum measured what)
{
    static void (*const by[MEASURED])(const struct turn *, struct result *) = {
        measure_up, measure_down, measure_connections, measure_latency};
    double s = (double)t->ms / 1000, cpu = measure(path, t, now, by[what]);

    if (what == STREAM_UP && now->up > 0) {
        now->cpu_gb = cpu / (now->up * s / 1e9);
    } else if (what == MANY && now->connections > 0) {
        now->cpu_connection = cpu * 1000 / (now->connections * s);
    }
}

/* ---- of many rounds ---- */

static const struct figure {
    const char *name;
    const char *unit;
    enum measured with;
    size_t field;
    double scale;
} figures[] = {
    {"up", "MiB/s", STREAM_UP, offsetof(struct result, up), 1.0 / (1 << 20)},
    {"down", "MiB/s", STREAM_DOWN, offsetof(struct result, down), 1.0 / (1 << 20)},
    {"connections", "1/s", MANY, offsetof(struct result, connections), 1},
    {"p99", "ms", PING, offsetof(struct result, p99_ms), 1},
    {"CPU of a gigabyte", "s", STREAM_UP, offsetof(struct result, cpu_gb), 1},
    {"CPU of a connection", "ms", MANY, offsetof(struct result, cpu_connection), 1},
};

enum { UP, DOWN, CONNECTIONS, P99, CPU_GB, CPU_CONNECTION };

/* Returns how many rounds. */
static size_t take(const struct series *s, enum carrier carrier, int which,
                   double out[ROUNDS_MAX])
{
    const struct figure *f = &figures[which];

    for (size_t i = 0; i < s->rounds[f->with]; i++) {
        out[i] = *(const double *)((const char *)&s->of[carrier][i] + f->field);
    }
    return s->rounds[f->with];
}

static struct comparison compared(const struct series *s, enum carrier carrier,
                                  enum carrier base, int which)
{
    double its[ROUNDS_MAX], others[ROUNDS_MAX];
    size_t n = take(s, carrier, which, its);

    take(s, base, which, others);
    return compare_rounds(its, others, n);
}

/* ---- all carriers ---- */

/* What has a goal. */
static bool is_known(const struct lot *lot, const struct series *s, enum measured what)
{
    bool known = s->rounds[what] >= ROUNDS;

    for (int which = UP; which <= CONNECTIONS && known && lot->goal; which++) {
        for (size_t i = 1; i < lot->count && figures[which].with == what; i++) {
            known &=
                compared(s, lot->carriers[0], lot->carriers[i], which).error <= KNOWN;
        }
    }
    return known || s->rounds[what] == ROUNDS_MAX;
}

/* One after the other, there and back: what else the machine does hits all alike. */
static int measure_round(struct path *path, const struct lot *lot, enum measured what,
                         struct turn *turn, struct result *now, struct series *series,
                         struct cm_err *err)
{
    size_t round = series->rounds[what];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < lot->count; i++) {
        enum carrier c = lot->carriers[round % 2 == 0 ? i : lot->count - 1 - i];
        rc = path_carry(path, c, &turn->address, err);
        if (rc == 0) {
            usleep(SETTLE_US);
            *now = series->of[c][round];
            measure_one(path, turn, now, what);
            series->of[c][round] = *now;
        }
    }
    series->rounds[what] += rc == 0;
    return rc;
}

static int measure_lot(struct path *path, const struct lot *lot, bool quick,
                       struct series *series, struct cm_err *err)
{
    struct turn turn = {.ms = TURN_MS, .pings = quick ? PINGS / 3 : PINGS};
    struct result *now = mmap(NULL, sizeof(*now), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int rc = 0;

    cm_assert(now != MAP_FAILED);
    for (int what = 0; what < MEASURED; what++) {
        bool enough = !lot->measured[what];
        while (rc == 0 && !enough) {
            rc = measure_round(path, lot, (enum measured)what, &turn, now, series, err);
            enough = quick ? series->rounds[what] == 3
                           : is_known(lot, series, (enum measured)what);
        }
    }
    munmap(now, sizeof(*now));
    return rc;
}

/* ---- rows ---- */

static struct row *tell(struct rows *rows, const struct series *s, enum carrier carrier,
                        int which)
{
    char name[28];
    double values[ROUNDS_MAX];
    size_t n = take(s, carrier, which, values);
    double value = compare_median(values, n) * figures[which].scale;

    snprintf(name, sizeof(name), "%s: %s", carrier_name(carrier), figures[which].name);
    struct row *row = rows_add(rows, name, value, figures[which].unit);
    row->ok = value > 0;
    return row;
}

/* For comparison; no goal. */
static struct row *beside(struct rows *rows, const struct series *s,
                          enum carrier carrier, enum carrier base, int which)
{
    struct row *row = tell(rows, s, carrier, which);
    struct comparison c = compared(s, carrier, base, which);

    row->compared_with = carrier_name(base);
    row->ratio = c.ratio;
    row->error = isfinite(c.error) ? c.error : 0;
    return row;
}

/* What misses its goal by less than the error is open, and not ok. */
static void at_least(struct rows *rows, const struct series *s, enum carrier carrier,
                     enum carrier base, int which, double least)
{
    struct row *row = beside(rows, s, carrier, base, which);

    snprintf(row->goal, sizeof(row->goal), "at least %.2f", least);
    row->open = row->ok && row->ratio < least && row->ratio + row->error >= least;
    row->ok = row->ok && row->ratio >= least;
}

static void less_than(struct rows *rows, const struct series *s, enum carrier carrier,
                      enum carrier base, int which)
{
    struct row *row = beside(rows, s, carrier, base, which);

    snprintf(row->goal, sizeof(row->goal), "under 1.00");
    row->open = row->ok && row->ratio >= 1 && row->ratio - row->error < 1;
    row->ok = row->ok && row->ratio > 0 && row->ratio < 1;
}

static void added(struct rows *rows, const struct series *s, enum carrier carrier)
{
    double its[ROUNDS_MAX], bare[ROUNDS_MAX];
    struct row *row = tell(rows, s, carrier, P99);
    size_t n = take(s, carrier, P99, its);

    take(s, CARRIER_BARE, P99, bare);
    for (size_t i = 0; i < n; i++) {
        its[i] -= bare[i];
    }
    double ms = compare_median(its, n);
    row->compared_with = carrier_name(CARRIER_BARE);
    snprintf(row->goal, sizeof(row->goal), "%+.2f, under 0.30", ms);
    row->ok = row->ok && ms < 0.3;
}

static void proxy_against(struct rows *rows, const struct series *s, enum carrier base)
{
    at_least(rows, s, CARRIER_PROXY, base, UP, 1);
    at_least(rows, s, CARRIER_PROXY, base, DOWN, 1);
    at_least(rows, s, CARRIER_PROXY, base, CONNECTIONS, 1);
    less_than(rows, s, CARRIER_PROXY, base, CPU_GB);
    less_than(rows, s, CARRIER_PROXY, base, CPU_CONNECTION);
}

int planes_compare(struct path *path, bool quick, struct rows *rows, struct cm_err *err)
{
    static struct series s[LOTS];

    for (int i = 0; i < LOTS; i++) {
        if (measure_lot(path, &lots[i], quick, &s[i], err) != 0) {
            return -1;
        }
    }
    for (int which = UP; which <= CONNECTIONS; which++) {
        tell(rows, &s[OF_KERNEL], CARRIER_BARE, which);
    }
    tell(rows, &s[OF_LATENCY], CARRIER_BARE, P99);
    at_least(rows, &s[OF_KERNEL], CARRIER_KERNEL, CARRIER_BARE, UP, 0.97);
    at_least(rows, &s[OF_KERNEL], CARRIER_KERNEL, CARRIER_BARE, DOWN, 0.97);
    at_least(rows, &s[OF_KERNEL], CARRIER_KERNEL, CARRIER_BARE, CONNECTIONS, 0.95);
    added(rows, &s[OF_LATENCY], CARRIER_KERNEL);
    for (int which = UP; which <= CONNECTIONS; which++) {
        beside(rows, &s[OF_RULES], CARRIER_RULES, CARRIER_BARE, which);
    }
    proxy_against(rows, &s[OF_PROXY], CARRIER_NGINX);
    proxy_against(rows, &s[OF_PROXY], CARRIER_HAPROXY);
    added(rows, &s[OF_LATENCY], CARRIER_PROXY);
    return 0;
}
