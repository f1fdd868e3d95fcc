#include "status_heal.h"

#include <stdio.h>
#include <string.h>

#include "say.h"

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

size_t op_heal_untold(const struct cm_conf *conf, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < conf->gateway_count; i++) {
        const struct cm_conf_gateway *g = &conf->gateways[i];
        if (g->data_plane != CM_PLANE_PROXY && used < size) {
            int n = snprintf(out + used, size - used, "%s%s", used > 0 ? ", " : "",
                             g->name);
            used += n > 0 ? (size_t)n : 0;
        }
    }
    return used;
}

void op_heal_say(const json_t *cluster, const struct cm_conf *conf)
{
    char text[512];
    const json_t *g;
    size_t i;
    json_array_foreach(json_object_get(cluster, "gateways"), i, g)
    {
        if (op_heal_woken(g, text, sizeof(text)) > 0) {
            op_say(OP_PLAIN, "  %s", text);
        }
    }
    if (op_heal_untold(conf, text, sizeof(text)) > 0) {
        op_say(
            OP_PLAIN,
            "  by the kernel: %s; idle clients there are not told that the tunnel is "
            "cut (docs/data-planes.md)",
            text);
    }
}

json_t *op_heal_untold_json(const struct cm_conf *conf)
{
    json_t *list = json_array();
    for (size_t i = 0; i < conf->gateway_count; i++) {
        if (conf->gateways[i].data_plane != CM_PLANE_PROXY) {
            json_array_append_new(list, json_string(conf->gateways[i].name));
        }
    }
    return list;
}
