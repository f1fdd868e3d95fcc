/* bench-store: the store's services measured against a second thing in the same run.
 *
 *   bench-store [--quick] [--json] [PART...]
 *
 * Parts are in the table below; without names all are run. Exit 0 when every row is ok,
 * 1 when one is not or a part could not measure, 2 for a mistake. */
#include <stdio.h>
#include <string.h>

#include "bench.h"

static const struct bench parts[] = {
    {"expire", bench_expire},
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

static int usage(void)
{
    fprintf(stderr, "usage: bench-store [--quick] [--json] [PART...]; parts:");
    for (size_t i = 0; i < PARTS; i++) {
        fprintf(stderr, " %s", parts[i].name);
    }
    fprintf(stderr, "\n");
    return 2;
}

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
            return usage();
        }
    }
    for (size_t i = 0; i < PARTS; i++) {
        struct cm_err err;
        if ((!some || wanted[i]) && parts[i].run(quick, &rows, &err) != 0) {
            fprintf(stderr, "bench-store: %s: %s\n", parts[i].name, err.text);
            failed = true;
        }
    }
    return rows_print(&rows, json) && !failed ? 0 : 1;
}
