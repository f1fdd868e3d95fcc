#include "rows.h"

#include <stdio.h>

#include "common/err.h"

struct row *rows_add(struct rows *rows, const char *name, double value,
                     const char *unit)
{
    cm_assert(rows->count < ROWS_MAX);
    struct row *row = &rows->items[rows->count++];
    *row = (struct row){.value = value, .unit = unit, .compared_with = "", .ok = true};
    snprintf(row->name, sizeof(row->name), "%s", name);
    return row;
}

static void print_json(const struct rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->items[i];
        printf("%s{\"name\": \"%s\", \"value\": %.3f, \"unit\": \"%s\", "
               "\"compared_with\": \"%s\", \"ratio\": ",
               i == 0 ? "[" : ",\n ", row->name, row->value, row->unit,
               row->compared_with);
        if (row->ratio > 0) {
            printf("%.3f", row->ratio);
        } else {
            printf("null");
        }
        if (row->error > 0) {
            printf(", \"error\": %.3f", row->error);
        }
        printf(", \"goal\": \"%s\", \"ok\": %s, \"open\": %s}", row->goal,
               row->ok ? "true" : "false", row->open ? "true" : "false");
    }
    printf("%s]\n", rows->count == 0 ? "[" : "");
}

static void print_text(const struct rows *rows)
{
    printf("%-28s %9s %-6s %5s%-5s %-17s %s\n", "name", "value", "unit", "ratio", "",
           "goal", "ok");
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->items[i];
        char ratio[32] = "-", error[16] = "    ";
        if (row->ratio > 0) {
            snprintf(ratio, sizeof(ratio), "%.2f", row->ratio);
        }
        if (row->error > 0) {
            snprintf(error, sizeof(error), "\u00b1%.2f", row->error);
        }
        printf("%-28s %9.2f %-6s %5s%-5s %-17s %s%s%s\n", row->name, row->value,
               row->unit, ratio, error, row->goal,
               row->ok     ? "ok"
               : row->open ? "open"
                           : "NO",
               row->compared_with[0] != '\0' ? ", of " : "", row->compared_with);
    }
}

bool rows_print(const struct rows *rows, bool json)
{
    bool ok = true;
    (json ? print_json : print_text)(rows);
    for (size_t i = 0; i < rows->count; i++) {
        ok &= rows->items[i].ok;
    }
    return ok;
}
