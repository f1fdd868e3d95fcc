/* The records as a registrar's web form asks for them. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/mem.h"
#include "txt.h"
#include "zone.h"

#define FORM_MAX (256 * 1024)

struct field {
    char name[256];         /* relative to the zone; "@" */
    char full[256];         /* without final dot */
    char value[OP_TXT_MAX]; /* TXT in one piece, no quotes */
    char priority[32];      /* "" */
    char rest[64];          /* of SRV: weight and port; "" */
};

static void relative_name(const char *name, const char *origin, char out[256])
{
    size_t n = strlen(name), o = strlen(origin);

    if (strcasecmp(name, origin) == 0) {
        snprintf(out, 256, "@");
    } else if (n > o + 1 && strcasecmp(name + n - o, origin) == 0 &&
               name[n - o - 1] == '.') {
        snprintf(out, 256, "%.*s", (int)(n - o - 1), name);
    } else {
        snprintf(out, 256, "%s", name);
    }
}

/* "10 chat.example.org." and "0 1 993 chat.example.org." */
static void split_data(const struct op_record *r, struct field *f)
{
    int weight, port, used = 0, priority;

    if (strcmp(r->type, "MX") == 0 && sscanf(r->data, "%d %n", &priority, &used) == 1) {
        snprintf(f->priority, sizeof(f->priority), "%d", priority);
    } else if (strcmp(r->type, "SRV") == 0 &&
               sscanf(r->data, "%d %d %d %n", &priority, &weight, &port, &used) == 3) {
        snprintf(f->priority, sizeof(f->priority), "%d", priority);
        snprintf(f->rest, sizeof(f->rest), "weight %d, port %d", weight, port);
    }
    snprintf(f->value, sizeof(f->value), "%s", r->data + used);
}

static void fill(const struct op_record *r, const char *origin, struct field *f)
{
    *f = (struct field){.name = ""};
    relative_name(r->name, origin, f->name);
    snprintf(f->full, sizeof(f->full), "%.*s", (int)strlen(r->name) - 1, r->name);
    if (strcmp(r->type, "TXT") == 0) {
        op_txt_join(r->data, f->value, sizeof(f->value));
    } else {
        split_data(r, f);
    }
}

static bool is_split(const struct op_record *r)
{
    return strcmp(r->type, "TXT") == 0 && strstr(r->data, "\" \"") != NULL;
}

static void put(struct cm_buf *b, const struct op_record *r, const char *origin)
{
    struct field f;

    fill(r, origin, &f);
    cm_buf_fmt(b, "\ntype      %s%s\n", r->type, r->required ? "" : "   (recommended)");
    cm_buf_fmt(b, "name      %s\n", f.name);
    cm_buf_fmt(b, "in full   %s\n", f.full);
    if (f.priority[0] != '\0') {
        cm_buf_fmt(b, "priority  %s\n", f.priority);
    }
    if (f.rest[0] != '\0') {
        cm_buf_fmt(b, "          %s\n", f.rest);
    }
    cm_buf_fmt(b, "TTL       %d\n", r->ttl);
    cm_buf_fmt(b, "value     %s\n", f.value);
    if (is_split(r)) {
        cm_buf_fmt(b, "or, where a string may have 255 characters at most:\n%s\n",
                   r->data);
    }
}

char *op_zone_form(const struct op_zone *zone, const char *origin)
{
    struct cm_buf b;
    bool said = false;

    cm_buf_init(&b, FORM_MAX);
    cm_buf_fmt(
        &b,
        "Records of zone %s\n"
        "\"name\" is for forms that add the zone by themselves, \"in full\" for\n"
        "others (some want a dot behind it). A value is one line.\n",
        origin);
    for (size_t i = 0; i < zone->count; i++) {
        if (strcmp(zone->items[i].type, OP_REVERSE) == 0 && !said) {
            said = true;
            cm_buf_str(&b,
                       "\nReverse DNS: not in this zone; set in the panel of whoever"
                       "\nrents you the address\n");
        }
        put(&b, &zone->items[i], origin);
    }
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

char *op_zone_form_json(const struct op_zone *zone, const char *origin)
{
    json_t *list = json_array();

    for (size_t i = 0; i < zone->count; i++) {
        const struct op_record *r = &zone->items[i];
        struct field f;
        fill(r, origin, &f);
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:b}", "type", r->type,
                              "name", f.name, "name_in_full", f.full, "value", f.value,
                              "data", r->data, "ttl", r->ttl, "required", r->required);
        cm_assert(o != NULL);
        if (f.priority[0] != '\0') {
            json_object_set_new(o, "priority",
                                json_integer(strtol(f.priority, NULL, 10)));
        }
        json_array_append_new(list, o);
    }
    json_t *all = json_pack("{s:s, s:o}", "zone", origin, "records", list);
    char *text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return text;
}
