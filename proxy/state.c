#include "state.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/bus.h"
#include "common/mem.h"
#include "common/sign.h"
#include "fields.h"
#include "state_guard.h"

#define EPOCH_MAX  INT64_C(1000000000000)
#define BUDGET_MAX INT64_C(1000000000000000) /* 1000 TB */

/* ---- writing ---- */

#define PLANE_KERNEL "kernel"
#define PLANE_PROXY  "proxy"

static json_t *dump_gateway(const struct px_gateway *gw)
{
    json_t *addresses = json_array();
    for (size_t i = 0; i < gw->address_count; i++) {
        json_array_append_new(addresses, json_string(gw->addresses[i]));
    }
    json_t *json =
        json_pack("{s:s,s:i,s:s,s:b,s:o,s:s,s:i,s:s}", "name", gw->name, "number",
                  gw->number, "mode", cm_mode_name(gw->mode), "egress", gw->egress,
                  "addresses", addresses, "endpoint", gw->endpoint, "wg_port",
                  gw->wg_port, "wg_public_key", gw->wg_public_key);
    if (gw->egress_weight != PX_WEIGHT_DEFAULT) {
        json_object_set_new(json, "egress_weight", json_integer(gw->egress_weight));
    }
    if (gw->by_proxy) {
        json_object_set_new(json, "plane", json_string(PLANE_PROXY));
    }
    if (gw->by_header) {
        json_object_set_new(json, "header", json_true());
    }
    if (gw->agentless) {
        json_object_set_new(json, "agent", json_false());
    }
    if (gw->budget > 0) {
        json_object_set_new(json, "budget", json_integer(gw->budget));
    }
    return json;
}

char *px_state_dump(const struct px_state *state)
{
    json_t *ports = json_array();
    for (size_t i = 0; i < state->port_count; i++) {
        json_array_append_new(ports, json_integer(state->ports[i]));
    }
    json_t *gateways = json_array();
    for (size_t i = 0; i < state->gateway_count; i++) {
        json_array_append_new(gateways, dump_gateway(&state->gateways[i]));
    }
    char format[16];
    snprintf(format, sizeof(format), "%d.%d", PX_STATE_MAJOR, PX_STATE_MINOR);
    json_t *root =
        json_pack("{s:s,s:I,s:s,s:s,s:i,s:i,s:o,s:s,s:o}", "format", format, "epoch",
                  (json_int_t)state->epoch, "domain", state->domain,
                  "store_wg_public_key", state->store_wg_public_key, "bus_port",
                  state->bus_port, "metrics_port", state->metrics_port, "ports", ports,
                  "egress", cm_egress_name(state->egress), "gateways", gateways);
    cm_assert(root != NULL);
    if (state->turn.port != 0) {
        json_object_set_new(root, "turn",
                            json_pack("{s:i,s:i,s:i}", "port", state->turn.port,
                                      "relay_min", state->turn.relay_min, "relay_max",
                                      state->turn.relay_max));
    }
    px_guard_dump(state, root);
    char *text = json_dumps(root, JSON_SORT_KEYS | JSON_COMPACT);
    cm_assert(text != NULL);
    json_decref(root);
    return text;
}

/* ---- reading ---- */

static int read_format(const struct px_object *o, struct cm_err *err)
{
    char format[16];
    if (px_field_text(o, "format", "0123456789.", 3, format, sizeof(format), err) !=
        0) {
        return -1;
    }
    char *end;
    long major = strtol(format, &end, 10);
    if (end == format || *end != '.' || end[1] == 0 || strchr(end + 1, '.') != NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "format: \"%s\" is not MAJOR.MINOR",
                          format);
    }
    if (major != PX_STATE_MAJOR) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "format: %s is not understood, this program speaks %d.%d",
                          format, PX_STATE_MAJOR, PX_STATE_MINOR);
    }
    return 0;
}

static int read_egress(const struct px_object *o, enum cm_egress *out,
                       struct cm_err *err)
{
    static const enum cm_egress all[] = {CM_EGRESS_DIRECT, CM_EGRESS_GATEWAYS,
                                         CM_EGRESS_ALL};
    char text[16];
    if (px_field_text(o, "egress", PX_NAME_LETTERS, 1, text, sizeof(text), err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (strcmp(text, cm_egress_name(all[i])) == 0) {
            *out = all[i];
            return 0;
        }
    }
    return cm_err_set(err, CM_ERR_REFUSE,
                      "egress: \"%s\", allowed are direct, gateways, all", text);
}

static int read_ports(const struct px_object *o, struct px_state *state,
                      struct cm_err *err)
{
    json_t *list;
    if (px_field_array(o, "ports", 1, PX_PORTS_MAX, &list, err) != 0) {
        return -1;
    }
    state->port_count = json_array_size(list);
    for (size_t i = 0; i < state->port_count; i++) {
        json_t *item = json_array_get(list, i);
        json_int_t port = json_is_integer(item) ? json_integer_value(item) : 0;
        if (port < 1 || port > 65535) {
            return cm_err_set(err, CM_ERR_REFUSE, "ports[%zu]: not a TCP port", i);
        }
        /* Ascending, so that one set of ports has one form. */
        if (i > 0 && port <= state->ports[i - 1]) {
            return cm_err_set(err, CM_ERR_REFUSE, "ports[%zu]: not in ascending order",
                              i);
        }
        state->ports[i] = (uint16_t)port;
    }
    return 0;
}

/* Absent before 1.1, and where nobody calls. */
static int read_turn(const struct px_object *o, struct px_turn *turn,
                     struct cm_err *err)
{
    struct px_object t = {json_object_get(o->json, "turn"), "turn."};
    int64_t port, min, max;
    if (t.json == NULL) {
        return 0;
    }
    if (!json_is_object(t.json)) {
        return cm_err_set(err, CM_ERR_REFUSE, "turn: not an object");
    }
    if (px_field_int(&t, "port", 1, 65535, &port, err) ||
        px_field_int(&t, "relay_min", 1024, 65535, &min, err) ||
        px_field_int(&t, "relay_max", min, 65535, &max, err)) {
        return -1;
    }
    *turn = (struct px_turn){(uint16_t)port, (uint16_t)min, (uint16_t)max};
    return port >= min && port <= max
               ? cm_err_set(err, CM_ERR_REFUSE, "turn.port: in its relay range")
               : 0;
}

/* What is forwarded never arrives: the tunnel would be cut off. */
static int check_turn(const struct px_state *state, struct cm_err *err)
{
    const struct px_turn *t = &state->turn;
    for (size_t i = 0; i < state->gateway_count && t->port != 0; i++) {
        int wg = state->gateways[i].wg_port;
        if (wg == t->port || (wg >= t->relay_min && wg <= t->relay_max)) {
            return cm_err_set(err, CM_ERR_REFUSE, "gateways[%zu].wg_port: one of turn",
                              i);
        }
    }
    return 0;
}

/* Addresses land in nft and wg text: only what inet_pton understands, and only what can
 * be a node's own address. */
static bool address_ok(const char *text)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        uint32_t host = ntohl(v4.s_addr);
        return host >> 24 != 0 && host >> 24 != 127 && host >> 29 != 7;
    }
    return inet_pton(AF_INET6, text, &v6) == 1 && !IN6_IS_ADDR_UNSPECIFIED(&v6) &&
           !IN6_IS_ADDR_LOOPBACK(&v6) && !IN6_IS_ADDR_MULTICAST(&v6) &&
           !IN6_IS_ADDR_LINKLOCAL(&v6) && !IN6_IS_ADDR_V4MAPPED(&v6);
}

static int read_addresses(const struct px_object *o, struct px_gateway *gw,
                          struct cm_err *err)
{
    json_t *list;
    if (px_field_array(o, "addresses", 1, CM_ADDRESSES_MAX, &list, err) != 0) {
        return -1;
    }
    gw->address_count = json_array_size(list);
    for (size_t i = 0; i < gw->address_count; i++) {
        json_t *item = json_array_get(list, i);
        const char *text = json_is_string(item) ? json_string_value(item) : "";
        if (json_string_length(item) != strlen(text) || !address_ok(text)) {
            return cm_err_set(err, CM_ERR_REFUSE,
                              "%saddresses[%zu]: not a public numeric address",
                              o->where, i);
        }
        snprintf(gw->addresses[i], sizeof(gw->addresses[i]), "%s", text);
    }
    return 0;
}

static int read_mode(const struct px_object *o, enum cm_mode *out, struct cm_err *err)
{
    char text[16];
    if (px_field_text(o, "mode", PX_NAME_LETTERS, 1, text, sizeof(text), err) != 0) {
        return -1;
    }
    if (cm_mode_parse(text, out, err) != 0) {
        cm_err_prefix(err, "%smode", o->where);
        err->kind = CM_ERR_REFUSE;
        return -1;
    }
    return 0;
}

/* Absent before 1.1, and where the kernel does it. */
static int read_plane(const struct px_object *o, bool *by_proxy, struct cm_err *err)
{
    char text[16];
    if (json_object_get(o->json, "plane") == NULL) {
        return 0;
    }
    if (px_field_text(o, "plane", PX_NAME_LETTERS, 1, text, sizeof(text), err) != 0) {
        return -1;
    }
    *by_proxy = strcmp(text, PLANE_PROXY) == 0;
    return *by_proxy || strcmp(text, PLANE_KERNEL) == 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE,
                            "%splane: \"%s\", allowed are " PLANE_KERNEL
                            ", " PLANE_PROXY,
                            o->where, text);
}

/* Absent before 1.2, and where nobody counts. */
static int read_budget(const struct px_object *o, int64_t *budget, struct cm_err *err)
{
    return json_object_get(o->json, "budget") == NULL
               ? 0
               : px_field_int(o, "budget", 1, BUDGET_MAX, budget, err);
}

/* Absent before 1.1, and where all weigh the same. */
static int read_weight(const struct px_object *o, int *out, struct cm_err *err)
{
    int64_t weight = PX_WEIGHT_DEFAULT;
    if (json_object_get(o->json, "egress_weight") != NULL &&
        px_field_int(o, "egress_weight", 0, PX_WEIGHT_MAX, &weight, err) != 0) {
        return -1;
    }
    *out = (int)weight;
    return 0;
}

/* Absent before 1.2, and where chatmail-gateway runs. */
static int read_agent(const struct px_object *o, bool *agentless, struct cm_err *err)
{
    bool agent = true;
    if (json_object_get(o->json, "agent") != NULL &&
        px_field_bool(o, "agent", &agent, err) != 0) {
        return -1;
    }
    *agentless = !agent;
    return 0;
}

/* Absent before 1.3, and where the store sees the clients themselves. */
static int read_header(const struct px_object *o, struct px_gateway *gw,
                       struct cm_err *err)
{
    if (json_object_get(o->json, "header") != NULL &&
        px_field_bool(o, "header", &gw->by_header, err) != 0) {
        return -1;
    }
    return !gw->by_header || gw->by_proxy || gw->agentless
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "%sheader: without a proxy", o->where);
}

static int read_gateway(json_t *json, size_t index, struct px_gateway *gw,
                        struct cm_err *err)
{
    char where[32];
    snprintf(where, sizeof(where), "gateways[%zu].", index);
    struct px_object o = {json, where};
    int64_t number, wg_port;
    if (!json_is_object(json)) {
        return cm_err_set(err, CM_ERR_REFUSE, "gateways[%zu]: not an object", index);
    }
    if (px_field_text(&o, "name", PX_NAME_LETTERS, 1, gw->name, sizeof(gw->name),
                      err) ||
        px_field_int(&o, "number", 1, CM_GATEWAYS_MAX, &number, err) ||
        read_mode(&o, &gw->mode, err) ||
        px_field_bool(&o, "egress", &gw->egress, err) ||
        read_weight(&o, &gw->egress_weight, err) ||
        read_plane(&o, &gw->by_proxy, err) || read_agent(&o, &gw->agentless, err) ||
        read_header(&o, gw, err) || read_budget(&o, &gw->budget, err) ||
        read_addresses(&o, gw, err) ||
        px_field_text(&o, "endpoint", PX_HOST_LETTERS, 1, gw->endpoint,
                      sizeof(gw->endpoint), err) ||
        px_field_int(&o, "wg_port", 1, 65535, &wg_port, err) ||
        px_field_key(&o, "wg_public_key", gw->wg_public_key, err)) {
        return -1;
    }
    if (gw->name[0] == '-') {
        return cm_err_set(err, CM_ERR_REFUSE, "%sname: begins with '-'", where);
    }
    gw->number = (int)number;
    gw->wg_port = (int)wg_port;
    return 0;
}

static bool same_address(const char *a, const char *b)
{
    unsigned char left[16], right[16];
    int family = strchr(a, ':') != NULL ? AF_INET6 : AF_INET;
    return inet_pton(family, a, left) == 1 && inet_pton(family, b, right) == 1 &&
           memcmp(left, right, family == AF_INET ? 4 : 16) == 0;
}

static bool share_address(const struct px_gateway *a, const struct px_gateway *b)
{
    for (size_t i = 0; i < a->address_count; i++) {
        for (size_t j = 0; j < b->address_count; j++) {
            if ((a != b || i != j) && same_address(a->addresses[i], b->addresses[j])) {
                return true;
            }
        }
    }
    return false;
}

static int check_unique(const struct px_state *state, size_t index, struct cm_err *err)
{
    const struct px_gateway *gw = &state->gateways[index];
    if (index > 0 && gw->number <= state->gateways[index - 1].number) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "gateways[%zu].number: not in ascending order", index);
    }
    for (size_t i = 0; i < index; i++) {
        if (strcmp(gw->name, state->gateways[i].name) == 0) {
            return cm_err_set(err, CM_ERR_REFUSE, "gateways[%zu].name: %s twice", index,
                              gw->name);
        }
        if (strcmp(gw->wg_public_key, state->gateways[i].wg_public_key) == 0) {
            return cm_err_set(err, CM_ERR_REFUSE,
                              "gateways[%zu].wg_public_key: the same as of %s", index,
                              state->gateways[i].name);
        }
    }
    for (size_t i = 0; i <= index; i++) {
        if (share_address(gw, &state->gateways[i])) {
            return cm_err_set(err, CM_ERR_REFUSE,
                              "gateways[%zu].addresses: one address twice (see %s)",
                              index, state->gateways[i].name);
        }
    }
    return 0;
}

/* Above, the store has its listeners. */
static int check_header(const struct px_state *state, struct cm_err *err)
{
    uint16_t last = state->ports[state->port_count - 1];
    for (size_t i = 0; i < state->gateway_count; i++) {
        if (state->gateways[i].by_header && last > 65535 - CM_HEADER_PORTS) {
            return cm_err_set(err, CM_ERR_REFUSE, "gateways[%zu].header: port %u", i,
                              last);
        }
    }
    return 0;
}

static int read_gateways(const struct px_object *o, struct px_state *state,
                         struct cm_err *err)
{
    json_t *list;
    if (px_field_array(o, "gateways", 0, CM_GATEWAYS_MAX, &list, err) != 0) {
        return -1;
    }
    state->gateway_count = json_array_size(list);
    for (size_t i = 0; i < state->gateway_count; i++) {
        if (read_gateway(json_array_get(list, i), i, &state->gateways[i], err) != 0 ||
            check_unique(state, i, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* A document from before there was one has none. */
static int read_metrics_port(const struct px_object *o, struct px_state *state,
                             struct cm_err *err)
{
    int64_t port = 0;
    if (json_object_get(o->json, "metrics_port") != NULL &&
        px_field_int(o, "metrics_port", 0, 65535, &port, err) != 0) {
        return -1;
    }
    state->metrics_port = (int)port;
    return 0;
}

static int read_state(const struct px_object *o, struct px_state *state,
                      struct cm_err *err)
{
    int64_t bus_port;
    if (read_format(o, err) ||
        px_field_int(o, "epoch", 0, EPOCH_MAX, &state->epoch, err) ||
        px_field_text(o, "domain", PX_HOST_LETTERS, 1, state->domain,
                      sizeof(state->domain), err) ||
        px_field_key(o, "store_wg_public_key", state->store_wg_public_key, err) ||
        /* PUB, REP and PULL take three ports in a row. */
        px_field_int(o, "bus_port", 1, 65533, &bus_port, err) ||
        read_metrics_port(o, state, err) || read_ports(o, state, err) ||
        px_guard_read(o, state, err) || read_turn(o, &state->turn, err) ||
        read_egress(o, &state->egress, err) || read_gateways(o, state, err) ||
        check_turn(state, err) || check_header(state, err)) {
        return -1;
    }
    state->bus_port = (int)bus_port;
    return 0;
}

int px_state_parse(const char *text, size_t len, struct px_state *state_r,
                   struct cm_err *err)
{
    if (len > CM_BUS_MAX) {
        return cm_err_set(err, CM_ERR_REFUSE, "document of %zu bytes, at most %d", len,
                          CM_BUS_MAX);
    }
    json_t *root;
    if (px_fields_open(text, len, &root, err) != 0) {
        return -1;
    }
    struct px_state *state = cm_calloc(1, sizeof(*state));
    struct px_object o = {root, ""};
    int rc = read_state(&o, state, err);
    if (rc == 0) {
        *state_r = *state;
    }
    free(state);
    json_decref(root);
    return rc;
}

const struct px_gateway *px_state_find(const struct px_state *state, const char *name)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        if (strcmp(state->gateways[i].name, name) == 0) {
            return &state->gateways[i];
        }
    }
    return NULL;
}

/* ---- the envelope ---- */

int px_envelope_seal(const char *secret_key, const char *document, char **out_r,
                     struct cm_err *err)
{
    char sig[CM_SIGN_SIG_TEXT];
    if (cm_sign(secret_key, document, strlen(document), sig, err) != 0) {
        return -1;
    }
    *out_r = cm_asprintf("%s\n%s", sig, document);
    return 0;
}

int px_envelope_open(const char *public_key, const char *envelope, size_t len,
                     struct px_state *state_r, struct cm_err *err)
{
    const size_t sig_len = CM_SIGN_SIG_TEXT - 1;
    if (len > CM_BUS_MAX || len <= sig_len + 1 || envelope[sig_len] != '\n') {
        return cm_err_set(err, CM_ERR_REFUSE, "not an envelope (%zu bytes)", len);
    }
    char sig[CM_SIGN_SIG_TEXT];
    memcpy(sig, envelope, sig_len);
    sig[sig_len] = 0;
    const char *document = envelope + sig_len + 1;
    size_t document_len = len - sig_len - 1;
    if (memchr(sig, 0, sig_len) != NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "not an envelope: NUL in the signature");
    }
    if (cm_sign_verify(public_key, document, document_len, sig, err) != 0) {
        return -1;
    }
    return px_state_parse(document, document_len, state_r, err);
}

/* ---- addresses inside the tunnels ---- */

void px_inner4(int number, int side, char out[46])
{
    snprintf(out, 46, "10.77.%d.%d", number, side);
}

void px_inner6(int number, int side, char out[46])
{
    /* The number is written in decimal digits, as in 10.77.N: fd77:12:: belongs to
     * gateway 12. */
    snprintf(out, 46, "fd77:%d::%d", number, side);
}
