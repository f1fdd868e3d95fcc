/* bench-edge: both data planes against bare WireGuard and routing, the proxy against
 * nginx stream and haproxy in the same place, the agent's memory, and the bus.
 *
 *   bench-edge [--quick] [--json] [PART...]    planes memory reload agent bus
 *
 * Client, gateway and store are namespaces of this machine and share its cores, so the
 * figures are a floor; the ratios are what counts. Those that are compared are measured
 * in turn, round by round, so that what else the machine does hits all alike; a value
 * is that of the median round, and a ratio that of compare.h. Exit 0 when every row is
 * ok, 1 when one is not or nothing could be measured, 2 for a mistake. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "bell.h"
#include "benchrows/rows.h"
#include "idle.h"
#include "path.h"
#include "planes.h"

static const struct {
    const char *program, *package;
} company[] = {{"/usr/sbin/nginx", "nginx"},
               {"/usr/lib/nginx/modules/ngx_stream_module.so", "libnginx-mod-stream"},
               {"/usr/sbin/haproxy", "haproxy"}};

static int have_company(struct cm_err *err)
{
    for (size_t i = 0; i < sizeof(company) / sizeof(company[0]); i++) {
        if (access(company[i].program, R_OK) != 0) {
            return cm_err_set(
                err, CM_ERR_WORLD,
                "%s is not there: apt-get install --no-install-recommends %s",
                company[i].program, company[i].package);
        }
    }
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct path *, bool, struct rows *, struct cm_err *);
} parts[] = {
    {"planes", planes_compare}, {"memory", idle_memory}, {"reload", idle_reload},
    {"agent", agent_memory},    {"bus", bell_reach},
};

#define PARTS (sizeof(parts) / sizeof(parts[0]))

struct options {
    bool quick, json;
    bool only[PARTS]; /* none: all */
    bool some;
};

static int bench(const struct options *options, struct rows *rows, struct cm_err *err)
{
    struct path path;

    if (have_company(err) != 0) {
        return -1;
    }
    int rc = path_open(&path, err);
    for (size_t i = 0; rc == 0 && i < PARTS; i++) {
        if (!options->some || options->only[i]) {
            rc = parts[i].run(&path, options->quick, rows, err);
        }
    }
    path_close(&path);
    return rc;
}

static bool take_part(const char *word, struct options *options)
{
    for (size_t i = 0; i < PARTS; i++) {
        if (strcmp(word, parts[i].name) == 0) {
            return options->only[i] = options->some = true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    static struct rows rows;
    struct options options = {.quick = false};
    struct cm_err err;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            options.quick = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            options.json = true;
        } else if (!take_part(argv[i], &options)) {
            bool help = strcmp(argv[i], "--help") == 0;
            fprintf(help ? stdout : stderr,
                    "usage: bench-edge [--quick] [--json] "
                    "[planes] [memory] [reload] [agent] [bus]\n");
            return help ? 0 : 2;
        }
    }
    int rc = bench(&options, &rows, &err);
    bool ok = rows_print(&rows, options.json);
    if (rc != 0) {
        fprintf(stderr, "bench-edge: %s\n", err.text);
    }
    return ok && rc == 0 ? 0 : 1;
}
