/* bench-edge: both data planes against bare WireGuard and routing, and the proxy
 * against nginx stream and haproxy in the same place, all in one run.
 *
 *   bench-edge [--quick] [--json]
 *
 * Client, gateway and store share this machine's cores, so that the figures are a
 * floor; the ratios are what counts. Each carrier is measured in turn, several rounds;
 * the best round counts, because what else the machine does only slows. Exit 0 when
 * every row is ok, 1 when one is not or nothing could be measured, 2 for a mistake. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mem.h"
#include "netkit/netkit.h"
#include "rows.h"

#include "load.h"
#include "path.h"

#define STREAMS 4
#define THREADS 16
#define PINGS   3000

struct result {
    struct load_figures best;
    double cpu_per_gb; /* seconds */
};

/* A child in the client's namespace fills `figures`, which is shared with it. */
static void measure(struct path *path, const char *address, bool quick,
                    struct load_figures *figures)
{
    pid_t pid = netkit_fork(path->client);

    if (pid == 0) {
        figures->bytes_per_s = load_throughput(address, STREAMS, quick ? 1000 : 3000);
        figures->connections_per_s =
            load_connections(address, THREADS, quick ? 1000 : 3000);
        load_latency(address, quick ? PINGS / 3 : PINGS, &figures->p50_ms,
                     &figures->p99_ms);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static double best_of(double a, double b, bool more)
{
    return a == 0 || (more ? b > a : b < a) ? b : a;
}

static int measure_all(struct path *path, bool quick, struct result *results,
                       struct cm_err *err)
{
    struct load_figures *figures = mmap(NULL, sizeof(*figures), PROT_READ | PROT_WRITE,
                                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    cm_assert(figures != MAP_FAILED);
    for (int round = 0; round < (quick ? 1 : 3); round++) {
        for (int c = 0; c < CARRIERS; c++) {
            const char *address;
            struct result *r = &results[c];
            if (path_carry(path, (enum carrier)c, &address, err) != 0) {
                return -1;
            }
            double cpu = path_cpu_s(path);
            measure(path, address, quick, figures);
            cpu = path_cpu_s(path) - cpu;
            double gb = figures->bytes_per_s * (quick ? 1 : 3) / 1e9;
            r->best.bytes_per_s =
                best_of(r->best.bytes_per_s, figures->bytes_per_s, true);
            r->best.connections_per_s =
                best_of(r->best.connections_per_s, figures->connections_per_s, true);
            r->best.p50_ms = best_of(r->best.p50_ms, figures->p50_ms, false);
            r->best.p99_ms = best_of(r->best.p99_ms, figures->p99_ms, false);
            r->cpu_per_gb = best_of(r->cpu_per_gb, gb > 0 ? cpu / gb : 0, false);
        }
    }
    munmap(figures, sizeof(*figures));
    return 0;
}

static void add(struct rows *rows, const char *name, double value, const char *unit,
                const char *against, double base, double least)
{
    struct row *row = rows_add(rows, name, value, unit);

    row->compared_with = against;
    row->ratio = base > 0 ? value / base : 0;
    if (least > 0) {
        snprintf(row->goal, sizeof(row->goal), "at least %.2f", least);
        row->ok = row->ratio >= least;
    }
}

static void add_added(struct rows *rows, const char *name, double ms, double bare)
{
    struct row *row = rows_add(rows, name, ms - bare, "ms");

    snprintf(row->goal, sizeof(row->goal), "added, under 0.3");
    row->ok = ms - bare < 0.3;
}

static void compare(const struct result *r, struct rows *rows)
{
    const struct load_figures *bare = &r[CARRIER_BARE].best,
                              *kernel = &r[CARRIER_KERNEL].best,
                              *proxy = &r[CARRIER_PROXY].best,
                              *nginx = &r[CARRIER_NGINX].best,
                              *haproxy = &r[CARRIER_HAPROXY].best;
    double mib = 1 << 20;

    add(rows, "bare: throughput", bare->bytes_per_s / mib, "MiB/s", "", 0, 0);
    add(rows, "bare: connections", bare->connections_per_s, "1/s", "", 0, 0);
    add(rows, "bare: p99", bare->p99_ms, "ms", "", 0, 0);
    add(rows, "kernel: throughput", kernel->bytes_per_s / mib, "MiB/s", "bare",
        bare->bytes_per_s / mib, 0.97);
    add(rows, "kernel: connections", kernel->connections_per_s, "1/s", "bare",
        bare->connections_per_s, 0.95);
    add_added(rows, "kernel: p99 added", kernel->p99_ms, bare->p99_ms);
    add(rows, "proxy: throughput", proxy->bytes_per_s / mib, "MiB/s", "nginx",
        nginx->bytes_per_s / mib, 1);
    add(rows, "proxy: throughput", proxy->bytes_per_s / mib, "MiB/s", "haproxy",
        haproxy->bytes_per_s / mib, 1);
    add(rows, "proxy: throughput", proxy->bytes_per_s / mib, "MiB/s", "bare",
        bare->bytes_per_s / mib, 0);
    add(rows, "proxy: connections", proxy->connections_per_s, "1/s", "nginx",
        nginx->connections_per_s, 1);
    add(rows, "proxy: connections", proxy->connections_per_s, "1/s", "haproxy",
        haproxy->connections_per_s, 1);
    add_added(rows, "proxy: p99 added", proxy->p99_ms, bare->p99_ms);
    add(rows, "nginx: CPU a gigabyte", r[CARRIER_NGINX].cpu_per_gb, "s", "proxy",
        r[CARRIER_PROXY].cpu_per_gb, 1);
    add(rows, "haproxy: CPU a gigabyte", r[CARRIER_HAPROXY].cpu_per_gb, "s", "proxy",
        r[CARRIER_PROXY].cpu_per_gb, 1);
}

/* ---- many that are idle ---- */

/* Opens n, lets `between` happen, counts those that live. */
static size_t hold(struct path *path, const char *address, size_t n,
                   int (*between)(struct path *, void *, struct cm_err *), void *ctx,
                   struct cm_err *err)
{
    int said[2], go[2];
    size_t open = 0, alive = 0;
    char byte = 'g';

    cm_assert(pipe(said) == 0 && pipe(go) == 0);
    pid_t pid = netkit_fork(path->client);
    if (pid == 0) {
        int *fds = cm_calloc(n, sizeof(*fds));
        open = load_open(address, n, fds);
        (void)!write(said[1], &open, sizeof(open));
        (void)!read(go[0], &byte, 1);
        alive = load_check(fds, n);
        (void)!write(said[1], &alive, sizeof(alive));
        _exit(0);
    }
    close(said[1]);
    if (read(said[0], &open, sizeof(open)) == sizeof(open) && open == n &&
        between(path, ctx, err) == 0) {
        (void)!write(go[1], &byte, 1);
        if (read(said[0], &alive, sizeof(alive)) != sizeof(alive)) {
            alive = 0;
        }
    }
    netkit_stop(&pid, SIGKILL);
    close(said[0]);
    close(go[0]);
    close(go[1]);
    return alive;
}

static int look_at_memory(struct path *path, void *ctx, struct cm_err *err)
{
    (void)err;
    *(double *)ctx = path_pss_kib(path);
    return 0;
}

static int reload_thrice(struct path *path, void *ctx, struct cm_err *err)
{
    (void)ctx;
    for (int i = 0; i < 3; i++) {
        if (path_reload(path, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int many_idle(struct path *path, bool quick, struct rows *rows,
                     struct cm_err *err)
{
    const char *address;
    size_t n = quick ? 2000 : 20000, flows = quick ? 1000 : 10000;
    double after = 0;

    if (path_carry(path, CARRIER_PROXY, &address, err) != 0) {
        return -1;
    }
    double before = path_pss_kib(path);
    size_t alive = hold(path, address, n, look_at_memory, &after, err);
    struct row *row = rows_add(rows, "proxy: memory an idle one",
                               (after - before) * 1024 / (double)n, "bytes");
    snprintf(row->goal, sizeof(row->goal), "under 2048, %zu open", n);
    row->ok = alive == n && (after - before) * 1024 / (double)n < 2048;
    if (path_carry(path, CARRIER_KERNEL, &address, err) != 0) {
        return -1;
    }
    alive = hold(path, address, flows, reload_thrice, NULL, err);
    row = rows_add(rows, "kernel: flows lost by reload", (double)(flows - alive), "");
    snprintf(row->goal, sizeof(row->goal), "none of %zu", flows);
    row->ok = alive == flows;
    return 0;
}

static int bench(bool quick, struct rows *rows, struct cm_err *err)
{
    static struct result results[CARRIERS];
    struct path path;
    int rc = path_open(&path, err);

    if (rc == 0) {
        rc = measure_all(&path, quick, results, err);
    }
    if (rc == 0) {
        compare(results, rows);
        rc = many_idle(&path, quick, rows, err);
    }
    path_close(&path);
    return rc;
}

int main(int argc, char **argv)
{
    static struct rows rows;
    bool quick = false, json = false;
    struct cm_err err;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            quick = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else {
            fprintf(stderr, "usage: bench-edge [--quick] [--json]\n");
            return 2;
        }
    }
    int rc = bench(quick, &rows, &err);
    if (rc != 0) {
        fprintf(stderr, "bench-edge: %s\n", err.text);
    }
    return rows_print(&rows, json) && rc == 0 ? 0 : 1;
}
