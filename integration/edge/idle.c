#include "idle.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mem.h"
#include "netkit/netkit.h"

#include "load.h"

#define RELOADS 5

static bool told(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) != 0;
}

/* The child: opens, says how many, waits for a byte, says how many live. */
static _Noreturn void be_clients(const struct idle_hold *hold, int said, int go)
{
    int *fds = cm_calloc(hold->n, sizeof(*fds));
    size_t count = load_open(hold->address, hold->n, fds);
    char byte;

    (void)!write(said, &count, sizeof(count));
    for (size_t i = 0; hold->speaks && !told(go); i = (i + 1) % hold->n) {
        load_speak(&fds[i]);
    }
    (void)!read(go, &byte, 1);
    count = load_check(fds, hold->n);
    (void)!write(said, &count, sizeof(count));
    _exit(0);
}

int idle_hold(struct path *path, const struct idle_hold *hold, size_t *alive_r,
              struct cm_err *err)
{
    int said[2], go[2];
    size_t count = 0;

    cm_assert(pipe(said) == 0 && pipe(go) == 0);
    pid_t pid = netkit_fork(path->client);
    if (pid == 0) {
        close(go[1]);
        be_clients(hold, said[1], go[0]);
    }
    close(said[1]);
    close(go[0]);
    int rc = read(said[0], &count, sizeof(count)) == sizeof(count) && count == hold->n
                 ? 0
                 : cm_err_set(err, CM_ERR_WORLD, "only %zu of %zu connections opened",
                              count, hold->n);
    if (rc == 0 && (rc = hold->between(path, hold->ctx, err)) == 0) {
        (void)!write(go[1], "g", 1);
        *alive_r = 0;
        if (read(said[0], alive_r, sizeof(*alive_r)) != sizeof(*alive_r)) {
            *alive_r = 0;
        }
    }
    netkit_stop(&pid, SIGKILL);
    close(said[0]);
    close(go[1]);
    return rc;
}

/* ---- memory ---- */

static int look_at_memory(struct path *path, void *ctx, struct cm_err *err)
{
    (void)err;
    *(double *)ctx = path_pss_kib(path);
    return 0;
}

static int memory_of(struct path *path, enum carrier carrier, size_t n, double *bytes_r,
                     size_t *alive_r, struct cm_err *err)
{
    double after = 0;
    struct idle_hold hold = {.n = n, .between = look_at_memory, .ctx = &after};

    if (path_carry(path, carrier, &hold.address, err) != 0) {
        return -1;
    }
    double before = path_pss_kib(path);
    if (idle_hold(path, &hold, alive_r, err) != 0) {
        return cm_err_prefix(err, "%s", carrier_name(carrier));
    }
    *bytes_r = (after - before) * 1024 / (double)n;
    return 0;
}

int idle_memory(struct path *path, bool quick, struct rows *rows, struct cm_err *err)
{
    static const enum carrier who[] = {CARRIER_PROXY, CARRIER_NGINX, CARRIER_HAPROXY};
    size_t n = quick ? 3000 : 20000, most = path_connections(path);

    if (n > most) {
        fprintf(stderr,
                "bench-edge: %zu connections instead of %zu: a process may have "
                "%zu descriptors here\n",
                most, n, path->files);
        n = most;
    }

    for (size_t i = 0; i < sizeof(who) / sizeof(who[0]); i++) {
        char name[28];
        double bytes = 0;
        size_t alive = 0;
        if (memory_of(path, who[i], n, &bytes, &alive, err) != 0) {
            return -1;
        }
        snprintf(name, sizeof(name), "%s: an idle connection", carrier_name(who[i]));
        struct row *row = rows_add(rows, name, bytes, "bytes");
        if (who[i] == CARRIER_PROXY) {
            snprintf(row->goal, sizeof(row->goal), "under 2048, of %zu", n);
            row->ok = alive == n && bytes > 0 && bytes < 2048;
        }
    }
    return 0;
}

/* ---- reload ---- */

static int reload(struct path *path, void *ctx, struct cm_err *err)
{
    (void)ctx;
    for (int i = 0; i < RELOADS; i++) {
        if (path_reload(path, err) != 0) {
            return -1;
        }
        usleep(200000);
    }
    return 0;
}

int idle_reload(struct path *path, bool quick, struct rows *rows, struct cm_err *err)
{
    struct idle_hold hold = {
        .n = quick ? 2000 : 10000, .speaks = true, .between = reload};
    size_t alive = 0;

    if (path_carry(path, CARRIER_KERNEL, &hold.address, err) != 0 ||
        idle_hold(path, &hold, &alive, err) != 0) {
        return -1;
    }
    struct row *row =
        rows_add(rows, "kernel: lost by reloads", (double)(hold.n - alive), "flows");
    snprintf(row->goal, sizeof(row->goal), "none of %zu", hold.n);
    row->ok = alive == hold.n;
    return 0;
}
