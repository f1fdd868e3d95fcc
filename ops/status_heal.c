#include "status_heal.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DAY_S 86400

static const json_t *lately(const json_t *g)
{
    const json_t *w = json_object_get(g, "woken");
    return json_is_object(w) && json_integer_value(json_object_get(w, "ago_s")) <= DAY_S
               ? w
               : NULL;
}

static long long number_in(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

size_t op_heal_woken(const json_t *g, char *out, size_t size)
{
    const json_t *w = lately(g);
    const char *name = json_string_value(json_object_get(g, "name"));
    out[0] = '\0';
    if (w == NULL || name == NULL) {
        return 0;
    }
    long long n = number_in(w, "rung"), ago = number_in(w, "ago_s");
    snprintf(out, size, "%s fell silent %lld %s ago: the phones of %lld account%s %s",
             name, ago < 120 ? ago : ago / 60, ago < 120 ? "s" : "min", n,
             n == 1 ? "" : "s", "were woken");
    return strlen(out);
}

const char *op_heal_woken_wrong(const json_t *g)
{
    const char *why = json_string_value(json_object_get(lately(g), "why"));
    return why != NULL ? why : "";
}

static const json_t *gateway_of(const json_t *cluster, const char *name)
{
    const json_t *g;
    size_t i;
    json_array_foreach(json_object_get(cluster, "gateways"), i, g)
    {
        const char *its = json_string_value(json_object_get(g, "name"));
        if (its != NULL && strcmp(its, name) == 0) {
            return g;
        }
    }
    return NULL;
}

/* By the kernel, and its agent says that it cannot, or there is none. */
static bool is_untold(const json_t *cluster, const struct cm_conf_gateway *g)
{
    const json_t *its = gateway_of(cluster, g->name);
    return g->data_plane != CM_PLANE_PROXY && its != NULL &&
           (json_is_false(json_object_get(its, "carried")) ||
            json_is_false(json_object_get(its, "agent")));
}

size_t op_heal_untold(const json_t *cluster, const struct cm_conf *conf, char *out,
                      size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < conf->gateway_count; i++) {
        const struct cm_conf_gateway *g = &conf->gateways[i];
        if (is_untold(cluster, g) && used < size) {
            int n = snprintf(out + used, size - used, "%s%s", used > 0 ? ", " : "",
                             g->name);
            used += n > 0 ? (size_t)n : 0;
        }
    }
    return used;
}

json_t *op_heal_untold_json(const json_t *cluster, const struct cm_conf *conf)
{
    json_t *list = json_array();
    for (size_t i = 0; i < conf->gateway_count; i++) {
        if (is_untold(cluster, &conf->gateways[i])) {
            json_array_append_new(list, json_string(conf->gateways[i].name));
        }
    }
    return list;
}
