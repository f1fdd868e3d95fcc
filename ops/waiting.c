#include "waiting.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ini_edit.h"
#include "store_sql.h"

const char op_waiting_sql[] =
    "select coalesce(json_agg(json_build_object('name', name, 'number', number,"
    " 'joined', joined is not null, 'over', expires < now(), 'expires', " OP_SQL_TIME(
        "expires") ", 'key', coalesce(wg_public_key, ''), 'interfaces',"
                   " coalesce(interfaces, ''), 'from', coalesce(seen_from, ''))"
                   " order by number), '[]') from gateway_invite;\n";

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

/* A machine behind its provider's address translation has none of its own. */
static void take_addresses(const json_t *o, struct op_waiting *w)
{
    char *own = op_public_addresses(text_of(o, "interfaces"));
    const char *from = text_of(o, "from");

    if (own[0] != '\0') {
        snprintf(w->addresses, sizeof(w->addresses), "%s", own);
    } else if (op_is_public_address(from)) {
        snprintf(w->addresses, sizeof(w->addresses), "%s", from);
    }
    free(own);
}

static void take(const json_t *o, struct op_waiting *w)
{
    *w = (struct op_waiting){
        .number = (int64_t)json_integer_value(json_object_get(o, "number")),
        .joined = json_is_true(json_object_get(o, "joined")),
        .over = json_is_true(json_object_get(o, "over"))};
    snprintf(w->name, sizeof(w->name), "%.32s", text_of(o, "name"));
    snprintf(w->expires, sizeof(w->expires), "%.31s", text_of(o, "expires"));
    if (w->joined && cm_value_is_key(text_of(o, "key"))) {
        snprintf(w->wg_key, sizeof(w->wg_key), "%.44s", text_of(o, "key"));
        cm_enrol_print(w->wg_key, w->print);
        take_addresses(o, w);
    }
}

int op_waiting_parse(const char *answer, struct op_waiters *w_r, struct cm_err *err)
{
    json_t *list = json_loads(answer, 0, NULL), *o;
    size_t i;

    *w_r = (struct op_waiters){.count = 0};
    if (!json_is_array(list)) {
        json_decref(list);
        return cm_err_set(err, CM_ERR_WORLD, "store: invites: it answered: %.200s",
                          answer);
    }
    json_array_foreach(list, i, o)
    {
        if (w_r->count < CM_GATEWAYS_MAX) {
            take(o, &w_r->items[w_r->count++]);
        }
    }
    json_decref(list);
    return 0;
}

int op_waiting_read(struct op_host *store, struct op_waiters *w_r, struct cm_err *err)
{
    char *answer = NULL;

    if (op_store_sql(store, op_waiting_sql, &answer, err) != 0) {
        return -1;
    }
    int rc = op_waiting_parse(answer, w_r, err);
    free(answer);
    return rc;
}

const struct op_waiting *op_waiting_find(const struct op_waiters *w, const char *name)
{
    for (size_t i = 0; i < w->count; i++) {
        if (strcmp(w->items[i].name, name) == 0) {
            return &w->items[i];
        }
    }
    return NULL;
}
