#include "turn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/template.h"
#include "proxy/state.h"

const char *op_turn_unit(int64_t number)
{
    static char names[CM_GATEWAYS_MAX + 1][32];
    cm_assert(number >= 0 && number <= CM_GATEWAYS_MAX);
    snprintf(names[number], sizeof(names[number]), "chatmail-turn@%d.service",
             (int)number);
    return names[number];
}

size_t op_turn_numbers(const struct cm_conf *conf, int64_t numbers[CM_GATEWAYS_MAX])
{
    if (!conf->store.turn) {
        return 0;
    }
    for (size_t i = 0; i < conf->gateway_count; i++) {
        numbers[i] = conf->gateways[i].number;
    }
    if (conf->gateway_count == 0 && conf->store.addresses[0] != '\0') {
        numbers[0] = 0;
        return 1;
    }
    return conf->gateway_count;
}

static const struct cm_conf_gateway *by_number(const struct cm_conf *conf,
                                               int64_t number)
{
    for (size_t i = 0; i < conf->gateway_count; i++) {
        if (conf->gateways[i].number == number) {
            return &conf->gateways[i];
        }
    }
    return NULL;
}

/* Behind a gateway the store listens on the tunnel's end, and what it relays appears at
 * the gateway's first address of that family. Without gateways the start script finds
 * out where an address arrives. No line feed at the end: the template has it. */
static char *addresses(const struct cm_conf *conf, int64_t number, bool ipv6)
{
    const struct cm_conf_gateway *gw = by_number(conf, number);
    char words[CM_ADDRESSES_MAX][64];
    size_t n = cm_conf_words(gw != NULL ? gw->addresses : conf->store.addresses, words,
                             CM_ADDRESSES_MAX);
    bool done[2] = {false, !ipv6};
    struct cm_buf out;
    cm_buf_init(&out, 4096);
    for (size_t i = 0; i < n; i++) {
        bool v6 = strchr(words[i], ':') != NULL;
        char inner[46];
        (v6 ? px_inner6 : px_inner4)((int)number, 2, inner);
        if (done[v6]) {
            continue;
        }
        cm_buf_str(&out, out.len > 0 ? "\n" : "");
        if (gw != NULL) {
            cm_buf_fmt(&out, "listening-ip=%s\nexternal-ip=%s/%s", inner, words[i],
                       inner);
        } else {
            cm_buf_fmt(&out, "public=%s", words[i]);
        }
        done[v6] = true;
    }
    cm_assert(!out.overflow);
    return cm_buf_steal(&out);
}

static int render(const struct cm_conf *conf, const char *text, int64_t number,
                  bool ipv6, char **out_r, struct cm_err *err)
{
    const struct cm_conf_store *store = &conf->store;
    const struct cm_conf_gateway *gw = by_number(conf, number);
    char port[8], port_min[8], port_max[8], ports[8], where[64];
    char *lines = addresses(conf, number, ipv6);
    snprintf(port, sizeof(port), "%d", CM_TURN_PORT);
    snprintf(port_min, sizeof(port_min), "%d", (int)store->turn_port_min);
    snprintf(port_max, sizeof(port_max), "%d", (int)store->turn_port_max);
    snprintf(ports, sizeof(ports), "%d",
             (int)(store->turn_port_max - store->turn_port_min + 1));
    snprintf(where, sizeof(where), "%s%.32s", gw != NULL ? "by " : "directly",
             gw != NULL ? gw->name : "");
    const struct cm_template_var vars[] = {
        {"domain", conf->mail_domain},
        {"where", where},
        {"addresses", lines},
        {"port", port},
        {"port_min", port_min},
        {"port_max", port_max},
        {"ports", ports},
    };
    int rc = cm_template_render("turn/turnserver.conf", text, vars,
                                sizeof(vars) / sizeof(vars[0]), out_r, err);
    free(lines);
    return rc;
}

int op_turn_files(const struct cm_conf *conf, const char *text, bool ipv6,
                  struct op_files *files, struct cm_err *err)
{
    int64_t numbers[CM_GATEWAYS_MAX];
    size_t n = op_turn_numbers(conf, numbers);
    for (size_t i = 0; i < n; i++) {
        char *content;
        if (render(conf, text, numbers[i], ipv6, &content, err) != 0) {
            return -1;
        }
        files->items =
            cm_realloc_array(files->items, files->count + 1, sizeof(*files->items));
        files->items[files->count++] = (struct op_file){
            .path = cm_asprintf("/etc/chatmail/turn/%d.conf", (int)numbers[i]),
            .content = content,
            .len = strlen(content),
            .owner = "root:root",
            .mode = 0644,
            .unit = op_turn_unit(numbers[i]),
        };
    }
    return 0;
}
