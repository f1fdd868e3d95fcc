#include "planes.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netkit/netkit.h"

#include "load.h"

#define STREAMS 4
#define THREADS 16
#define PINGS   3000

struct result {
    double up, down;    /* bytes a second */
    double connections; /* a second */
    double p50_ms, p99_ms;
    double cpu_gb;         /* of the carrying process: seconds for 10^9 bytes up */
    double cpu_connection; /* ms */
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

static void keep_more(double *best, double now)
{
    *best = now > *best ? now : *best;
}

static void keep_less(double *best, double now)
{
    *best = now > 0 && (*best == 0 || now < *best) ? now : *best;
}

static void measure_carrier(const struct path *path, const struct turn *t,
                            struct result *now, struct result *best)
{
    double s = (double)t->ms / 1000;

    *now = (struct result){0};
    double cpu = measure(path, t, now, measure_up);
    now->cpu_gb = now->up > 0 ? cpu / (now->up * s / 1e9) : 0;
    measure(path, t, now, measure_down);
    cpu = measure(path, t, now, measure_connections);
    now->cpu_connection =
        now->connections > 0 ? cpu * 1000 / (now->connections * s) : 0;
    measure(path, t, now, measure_latency);
    keep_more(&best->up, now->up);
    keep_more(&best->down, now->down);
    keep_more(&best->connections, now->connections);
    keep_less(&best->p50_ms, now->p50_ms);
    keep_less(&best->p99_ms, now->p99_ms);
    keep_less(&best->cpu_gb, now->cpu_gb);
    keep_less(&best->cpu_connection, now->cpu_connection);
}

static int measure_all(struct path *path, bool quick, struct result *best,
                       struct cm_err *err)
{
    struct turn turn = {.ms = quick ? 700 : 2000, .pings = quick ? PINGS / 3 : PINGS};
    struct result *now = mmap(NULL, sizeof(*now), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int rc = 0;

    cm_assert(now != MAP_FAILED);
    for (int round = 0; rc == 0 && round < (quick ? 3 : 6); round++) {
        for (int c = 0; rc == 0 && c < CARRIERS; c++) {
            rc = path_carry(path, (enum carrier)c, &turn.address, err);
            if (rc == 0) {
                measure_carrier(path, &turn, now, &best[c]);
            }
        }
    }
    munmap(now, sizeof(*now));
    return rc;
}

/* ---- rows ---- */

static void tell(struct rows *rows, const char *name, double value, const char *unit)
{
    struct row *row = rows_add(rows, name, value, unit);

    row->ok = value > 0;
}

/* value / base has to be at least that. */
static void at_least(struct rows *rows, const char *name, double value,
                     const char *unit, const char *against, double base, double least)
{
    struct row *row = rows_add(rows, name, value, unit);

    row->compared_with = against;
    row->ratio = base > 0 ? value / base : 0;
    snprintf(row->goal, sizeof(row->goal), "at least %.2f", least);
    row->ok = row->ratio >= least;
}

static void less_than(struct rows *rows, const char *name, double value,
                      const char *unit, const char *against, double base)
{
    struct row *row = rows_add(rows, name, value, unit);

    row->compared_with = against;
    row->ratio = base > 0 ? value / base : 0;
    snprintf(row->goal, sizeof(row->goal), "under 1.00");
    row->ok = value > 0 && row->ratio > 0 && row->ratio < 1;
}

static void added(struct rows *rows, const char *name, double ms, double bare)
{
    struct row *row = rows_add(rows, name, ms - bare, "ms");

    row->compared_with = "bare";
    snprintf(row->goal, sizeof(row->goal), "added, under 0.3");
    row->ok = ms > 0 && bare > 0 && ms - bare < 0.3;
}

#define MIB(bytes) ((bytes) / (1 << 20))

static void rows_bare(const struct result *bare, struct rows *rows)
{
    tell(rows, "bare: up", MIB(bare->up), "MiB/s");
    tell(rows, "bare: down", MIB(bare->down), "MiB/s");
    tell(rows, "bare: connections", bare->connections, "1/s");
    tell(rows, "bare: p99", bare->p99_ms, "ms");
}

static void rows_kernel(const struct result *kernel, const struct result *bare,
                        struct rows *rows)
{
    at_least(rows, "kernel: up", MIB(kernel->up), "MiB/s", "bare", MIB(bare->up), 0.97);
    at_least(rows, "kernel: down", MIB(kernel->down), "MiB/s", "bare", MIB(bare->down),
             0.97);
    at_least(rows, "kernel: connections", kernel->connections, "1/s", "bare",
             bare->connections, 0.95);
    added(rows, "kernel: p99", kernel->p99_ms, bare->p99_ms);
}

static void rows_proxy(const struct result *proxy, const struct result *other,
                       const char *name, struct rows *rows)
{
    at_least(rows, "proxy: up", MIB(proxy->up), "MiB/s", name, MIB(other->up), 1);
    at_least(rows, "proxy: down", MIB(proxy->down), "MiB/s", name, MIB(other->down), 1);
    at_least(rows, "proxy: connections", proxy->connections, "1/s", name,
             other->connections, 1);
    less_than(rows, "proxy: CPU of a gigabyte", proxy->cpu_gb, "s", name,
              other->cpu_gb);
    less_than(rows, "proxy: CPU of a connection", proxy->cpu_connection, "ms", name,
              other->cpu_connection);
}

int planes_compare(struct path *path, bool quick, struct rows *rows, struct cm_err *err)
{
    struct result r[CARRIERS] = {{0}};

    if (measure_all(path, quick, r, err) != 0) {
        return -1;
    }
    rows_bare(&r[CARRIER_BARE], rows);
    rows_kernel(&r[CARRIER_KERNEL], &r[CARRIER_BARE], rows);
    rows_proxy(&r[CARRIER_PROXY], &r[CARRIER_NGINX], "nginx", rows);
    rows_proxy(&r[CARRIER_PROXY], &r[CARRIER_HAPROXY], "haproxy", rows);
    added(rows, "proxy: p99", r[CARRIER_PROXY].p99_ms, r[CARRIER_BARE].p99_ms);
    return 0;
}
