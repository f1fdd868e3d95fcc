/* bench-store: the store's services measured against a second thing in the same run.
 *
 *   bench-store [--quick | --full] [--json] [PART...]
 *
 * Parts are in the table below; without names all are run. --full takes the sizes that
 * the goals are about, where that takes long. Exit 0 when every row is ok, 1 when one
 * is not or a part could not measure, 2 for a mistake. Needs root (it runs PostgreSQL
 * and namespaces), not the lab. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "bench.h"

static const struct bench parts[] = {
    {"auth", bench_auth, "logins per second on one core"},
    {"create", bench_create, "accounts created per second; logins beside a flood"},
    {"expire", bench_expire, "a walk over many mailboxes"},
    {"idle", bench_idle, "from LMTP to a client in IDLE"},
    {"memory", bench_memory, "what the daemons hold"},
    {"push", bench_push, "from a ring to the notification service"},
};
/* Also of what the parts start: so what else the machine does disturbs less. */
#define PRIORITY (-10)

#define PARTS (sizeof(parts) / sizeof(parts[0]))

struct options {
    enum bench_size size;
    bool json;
    bool some; /* else all parts are wanted */
    bool wanted[PARTS];
};

static int usage(FILE *to)
{
    fprintf(to, "usage: bench-store [--quick | --full] [--json] [PART...]\nParts:\n");
    for (size_t i = 0; i < PARTS; i++) {
        fprintf(to, "  %-10s %s\n", parts[i].name, parts[i].what);
    }
    return to == stdout ? 0 : 2;
}

static bool take_part(struct options *o, const char *name)
{
    for (size_t i = 0; i < PARTS; i++) {
        if (strcmp(parts[i].name, name) == 0) {
            o->some = o->wanted[i] = true;
            return true;
        }
    }
    return false;
}

static bool take(struct options *o, const char *arg)
{
    if (strcmp(arg, "--quick") == 0) {
        o->size = BENCH_QUICK;
    } else if (strcmp(arg, "--full") == 0) {
        o->size = BENCH_FULL;
    } else if (strcmp(arg, "--json") == 0) {
        o->json = true;
    } else {
        return take_part(o, arg);
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct rows rows;
    struct options o = {.size = BENCH_DEFAULT};
    bool failed = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            return usage(stdout);
        }
        if (!take(&o, argv[i])) {
            return usage(stderr);
        }
    }
    (void)setpriority(PRIO_PROCESS, 0, PRIORITY);
    for (size_t i = 0; i < PARTS; i++) {
        struct cm_err err;
        if (o.some && !o.wanted[i]) {
            continue;
        }
        fprintf(stderr, "bench-store: %s\n", parts[i].name);
        if (parts[i].run(o.size, &rows, &err) != 0) {
            fprintf(stderr, "bench-store: %s: %s\n", parts[i].name, err.text);
            failed = true;
        }
    }
    return rows_print(&rows, o.json) && !failed ? 0 : 1;
}
