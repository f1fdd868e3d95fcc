#include "defects.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "say.h"

#define WHAT_MAX 1200 /* an error's text and what stands around it */

void op_defects_add(struct op_defects *d, const char *todo, const char *what, ...)
{
    char text[WHAT_MAX];
    va_list ap;

    va_start(ap, what);
    vsnprintf(text, sizeof(text), what, ap);
    va_end(ap);
    d->items = cm_realloc_array(d->items, d->count + 1, sizeof(*d->items));
    d->items[d->count++] = (struct op_defect){cm_strdup(text), cm_strdup(todo)};
}

void op_defects_clear(struct op_defects *d)
{
    for (size_t i = 0; i < d->count; i++) {
        free(d->items[i].what);
        free(d->items[i].todo);
    }
    free(d->items);
    *d = (struct op_defects){.items = NULL};
}

void op_defects_say(const char *node, const struct op_defects *d)
{
    for (size_t i = 0; i < d->count; i++) {
        char head[64];
        snprintf(head, sizeof(head), "  %-8s ", node);
        op_say_wrapped(OP_RED, head, d->items[i].what);
        if (d->items[i].todo[0] != '\0') {
            op_say_wrapped(OP_PLAIN, "             ", d->items[i].todo);
        }
    }
}

json_t *op_defects_json(const struct op_defects *d)
{
    json_t *list = json_array();

    for (size_t i = 0; i < d->count; i++) {
        /* what a node said may be no UTF-8; it goes without then */
        json_t *what = json_string(d->items[i].what);
        json_array_append_new(
            list, json_pack("{s:o, s:s}", "what",
                            what != NULL ? what : json_string("said no UTF-8"), "todo",
                            d->items[i].todo));
    }
    return list;
}
