#include "planes.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netkit/netkit.h"

#include "load.h"

#define STREAMS 4
#define THREADS 16
#define PINGS   3000
#define ROUNDS  16

struct result {
    double up, down;    /* bytes a second */
    double connections; /* a second */
    double p50_ms, p99_ms;
    double cpu_gb;         /* of the carrying process: seconds for 10^9 bytes up */
    double cpu_connection; /* ms */
};

struct series {
    struct result of[CARRIERS][ROUNDS];
    size_t rounds;
};

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
        what(t, out);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    return path_cpu_s(path) - before;
}

enum measured { STREAM_UP, STREAM_DOWN, MANY, PING, MEASURED };

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

/* Every carrier in turn, one after the other for each figure, there and back: what else
 * the machine does hits all alike. */
static int measure_round(struct path *path, size_t round, struct turn *turn,
                         struct result *now, struct series *series, struct cm_err *err)
{
    int rc = 0;

    for (int what = 0; what < MEASURED; what++) {
        for (int i = 0; rc == 0 && i < CARRIERS; i++) {
            int c = round % 2 == 0 ? i : CARRIERS - 1 - i;
            rc = path_carry(path, (enum carrier)c, &turn->address, err);
            if (rc == 0) {
                *now = series->of[c][round];
                measure_one(path, turn, now, (enum measured)what);
                series->of[c][round] = *now;
            }
        }
    }
    return rc;
}

static int measure_all(struct path *path, bool quick, struct series *series,
                       struct cm_err *err)
{
    struct turn turn = {.ms = quick ? 700 : 1000, .pings = quick ? PINGS / 3 : PINGS};
    struct result *now = mmap(NULL, sizeof(*now), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int rc = 0;

    cm_assert(now != MAP_FAILED);
    series->rounds = quick ? 3 : ROUNDS;
    for (size_t round = 0; rc == 0 && round < series->rounds; round++) {
        rc = measure_round(path, round, &turn, now, series, err);
    }
    munmap(now, sizeof(*now));
    return rc;
}

/* ---- of many rounds ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), by_size);
    return n == 0       ? 0
           : n % 2 == 1 ? values[n / 2]
                        : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* The mean without the lowest and the highest quarter: what hits one round alone leaves
 * it as it is, and all that is left counts. */
static double middle(double *values, size_t n)
{
    double sum = 0;
    size_t cut = n / 4;

    qsort(values, n, sizeof(*values), by_size);
    for (size_t i = cut; i < n - cut; i++) {
        sum += values[i];
    }
    return n == 0 ? 0 : sum / (double)(n - 2 * cut);
}

static double figure(const struct series *s, enum carrier carrier, size_t round,
                     size_t field)
{
    return *(const double *)((const char *)&s->of[carrier][round] + field);
}

/* The median round, and of the rounds' ratios to `base` the middle. */
static double typical(const struct series *s, enum carrier carrier, size_t field)
{
    double values[ROUNDS];

    for (size_t i = 0; i < s->rounds; i++) {
        values[i] = figure(s, carrier, i, field);
    }
    return median(values, s->rounds);
}

static double ratio(const struct series *s, enum carrier carrier, enum carrier base,
                    size_t field)
{
    double values[ROUNDS];

    for (size_t i = 0; i < s->rounds; i++) {
        double b = figure(s, base, i, field);
        values[i] = b > 0 ? figure(s, carrier, i, field) / b : 0;
    }
    return middle(values, s->rounds);
}

/* ---- rows ---- */

static const struct {
    const char *name;
    const char *unit;
    size_t field;
    double scale;
} figures[] = {
    {"up", "MiB/s", offsetof(struct result, up), 1.0 / (1 << 20)},
    {"down", "MiB/s", offsetof(struct result, down), 1.0 / (1 << 20)},
    {"connections", "1/s", offsetof(struct result, connections), 1},
    {"p99", "ms", offsetof(struct result, p99_ms), 1},
    {"CPU of a gigabyte", "s", offsetof(struct result, cpu_gb), 1},
    {"CPU of a connection", "ms", offsetof(struct result, cpu_connection), 1},
};

enum { UP, DOWN, CONNECTIONS, P99, CPU_GB, CPU_CONNECTION };

static struct row *tell(struct rows *rows, const struct series *s, enum carrier carrier,
                        int which)
{
    char name[28];
    double value = typical(s, carrier, figures[which].field) * figures[which].scale;

    snprintf(name, sizeof(name), "%s: %s", carrier_name(carrier), figures[which].name);
    struct row *row = rows_add(rows, name, value, figures[which].unit);
    row->ok = value > 0;
    return row;
}

static void at_least(struct rows *rows, const struct series *s, enum carrier carrier,
                     enum carrier base, int which, double least)
{
    struct row *row = tell(rows, s, carrier, which);

    row->compared_with = carrier_name(base);
    row->ratio = ratio(s, carrier, base, figures[which].field);
    snprintf(row->goal, sizeof(row->goal), "at least %.2f", least);
    row->ok = row->ok && row->ratio >= least;
}

/* For comparison; no goal. */
static void beside(struct rows *rows, const struct series *s, enum carrier carrier,
                   enum carrier base, int which)
{
    struct row *row = tell(rows, s, carrier, which);

    row->compared_with = carrier_name(base);
    row->ratio = ratio(s, carrier, base, figures[which].field);
}

static void less_than(struct rows *rows, const struct series *s, enum carrier carrier,
                      enum carrier base, int which)
{
    struct row *row = tell(rows, s, carrier, which);

    row->compared_with = carrier_name(base);
    row->ratio = ratio(s, carrier, base, figures[which].field);
    snprintf(row->goal, sizeof(row->goal), "under 1.00");
    row->ok = row->ok && row->ratio > 0 && row->ratio < 1;
}

static void added(struct rows *rows, const struct series *s, enum carrier carrier)
{
    double values[ROUNDS];
    struct row *row = tell(rows, s, carrier, P99);

    for (size_t i = 0; i < s->rounds; i++) {
        values[i] = figure(s, carrier, i, figures[P99].field) -
                    figure(s, CARRIER_BARE, i, figures[P99].field);
    }
    double ms = median(values, s->rounds);
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
    static struct series s;

    if (measure_all(path, quick, &s, err) != 0) {
        return -1;
    }
    for (int which = UP; which <= P99; which++) {
        tell(rows, &s, CARRIER_BARE, which);
    }
    at_least(rows, &s, CARRIER_KERNEL, CARRIER_BARE, UP, 0.97);
    at_least(rows, &s, CARRIER_KERNEL, CARRIER_BARE, DOWN, 0.97);
    at_least(rows, &s, CARRIER_KERNEL, CARRIER_BARE, CONNECTIONS, 0.95);
    added(rows, &s, CARRIER_KERNEL);
    for (int which = UP; which <= CONNECTIONS; which++) {
        beside(rows, &s, CARRIER_RULES, CARRIER_BARE, which);
    }
    proxy_against(rows, &s, CARRIER_NGINX);
    proxy_against(rows, &s, CARRIER_HAPROXY);
    added(rows, &s, CARRIER_PROXY);
    return 0;
}
