#include "agent.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "desk.h"
#include "netkit/netkit.h"

#include "idle.h"

#define SEES_MS  30000
#define SETTLE_S 3 /* it counts flows once a second */

/* What the store's end heard last, shared with the process that hears. */
struct heard {
    int64_t epoch, flows;
};

struct agent {
    struct heard *heard;
    pid_t desk, program;
    size_t n;
    double rss_kib, peak_kib;
};

/* ---- the store's end of the bus ---- */

static void on_report(int number, const struct px_report *report, void *ctx)
{
    struct heard *heard = ctx;

    (void)number;
    heard->epoch = report->applied_epoch;
    heard->flows = report->flows;
}

static _Noreturn void be_store(const struct path *path, const char *envelope,
                               struct heard *heard)
{
    struct cm_loop *loop = cm_loop_new();
    struct desk_hooks hooks = {.report = on_report, .ctx = heard};
    struct desk *desk = desk_new(loop, &hooks);

    if (!desk_open(desk, path_state(path))) {
        fprintf(stderr, "bench-edge: the bus does not open\n");
        _exit(1);
    }
    desk_serve(desk, envelope);
    cm_loop_run(loop);
    _exit(0);
}

/* ---- the program ---- */

static void start_program(struct path *path, struct agent *agent)
{
    char config[96], key[96];

    snprintf(config, sizeof(config), "%s/gateway.conf", path->dir);
    snprintf(key, sizeof(key), "%s/0.key", path->dir);
    agent->program = netkit_fork(path->gateway);
    if (agent->program == 0) {
        execl(GATEWAY_PROGRAM, "chatmail-gateway", "--config", config, "--key", key,
              (char *)NULL);
        _exit(97);
    }
}

static int await(const volatile int64_t *what, int64_t least, const char *name,
                 struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + SEES_MS;

    while (*what < least) {
        if (cm_now_mono_ms() > until) {
            return cm_err_set(err, CM_ERR_WORLD, "chatmail-gateway: %s %lld, not %lld",
                              name, (long long)*what, (long long)least);
        }
        usleep(100000);
    }
    return 0;
}

static double kib_of(const char *status, const char *key)
{
    const char *at = strstr(status, key);

    return at != NULL ? strtod(at + strlen(key), NULL) : 0;
}

static int look(struct path *path, void *ctx, struct cm_err *err)
{
    struct agent *agent = ctx;
    char file[64], *status = NULL;

    (void)path;
    if (await(&agent->heard->flows, (int64_t)agent->n, "counts", err) != 0) {
        return -1;
    }
    sleep(SETTLE_S);
    snprintf(file, sizeof(file), "/proc/%d/status", (int)agent->program);
    if (cm_file_read(file, 8192, &status, NULL, err) != 1) {
        return -1;
    }
    agent->rss_kib = kib_of(status, "\nVmRSS:");
    agent->peak_kib = kib_of(status, "\nVmHWM:");
    free(status);
    return 0;
}

static void say(const struct agent *agent, size_t alive, struct rows *rows)
{
    struct row *row = rows_add(rows, "agent: memory", agent->rss_kib / 1024, "MiB");

    snprintf(row->goal, sizeof(row->goal), "under 8, %zu flows", agent->n);
    row->ok = agent->rss_kib > 0 && agent->rss_kib < 8 * 1024 && alive == agent->n;
    row = rows_add(rows, "agent: memory, its peak", agent->peak_kib / 1024, "MiB");
    snprintf(row->goal, sizeof(row->goal), "under 8");
    row->ok = agent->peak_kib < 8 * 1024;
}

int agent_memory(struct path *path, bool quick, struct rows *rows, struct cm_err *err)
{
    struct agent agent = {.n = quick ? 2000 : 10000};
    struct idle_hold hold = {.n = agent.n, .between = look, .ctx = &agent};
    char *envelope = NULL;
    size_t alive = 0;

    agent.heard = mmap(NULL, sizeof(*agent.heard), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cm_assert(agent.heard != MAP_FAILED);
    int rc = path_carry(path, CARRIER_KERNEL, &hold.address, err);
    if (rc == 0) {
        rc = path_envelope(path, &envelope, err);
    }
    if (rc == 0) {
        agent.desk = netkit_fork(path->store);
        if (agent.desk == 0) {
            be_store(path, envelope, agent.heard);
        }
        start_program(path, &agent);
        rc = await(&agent.heard->epoch, path->epoch, "epoch", err) != 0
                 ? -1
                 : idle_hold(path, &hold, &alive, err);
    }
    netkit_stop(&agent.program, SIGTERM);
    netkit_stop(&agent.desk, SIGKILL);
    free(envelope);
    munmap(agent.heard, sizeof(*agent.heard));
    if (rc == 0) {
        say(&agent, alive, rows);
    }
    return rc;
}
