/* bench-filter: what the filter costs.
 *
 *   bench-filter [--quick] [--json] [PART...]
 *
 * Parts: verdict (pure, one core), daemon (over the milter protocol; runs PostgreSQL,
 * so needs root), postfix (in the lab, which must be up and deployed). Without names:
 * the first two, which need no lab. Exit 0 when every row is ok, 1 when one is not or a
 * part could not measure, 2 for a mistake. */
#include <stdio.h>
#include <string.h>

#include "bench.h"

static const struct {
    const char *name;
    int (*run)(bool quick, struct rows *rows, struct cm_err *err);
    bool lab;
} parts[] = {
    {"verdict", bench_verdict, false},
    {"daemon", bench_daemon, false},
    {"postfix", bench_postfix, true},
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

static bool select_part(bool wanted[PARTS], const char *name)
{
    for (size_t i = 0; i < PARTS; i++) {
        if (strcmp(parts[i].name, name) == 0) {
            wanted[i] = true;
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    static struct rows rows;
    bool quick = false, json = false, some = false, failed = false;
    bool wanted[PARTS] = {0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            quick = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (select_part(wanted, argv[i])) {
            some = true;
        } else {
            fprintf(stderr, "usage: bench-filter [--quick] [--json] [PART...]; parts: "
                            "verdict daemon postfix\n");
            return 2;
        }
    }
    for (size_t i = 0; i < PARTS; i++) {
        struct cm_err err;
        bool run = some ? wanted[i] : !parts[i].lab;
        if (run && parts[i].run(quick, &rows, &err) != 0) {
            fprintf(stderr, "bench-filter: %s: %s\n", parts[i].name, err.text);
            failed = true;
        }
    }
    return rows_print(&rows, json) && !failed ? 0 : 1;
}
