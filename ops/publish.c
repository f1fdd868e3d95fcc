/* The desired state: made from chatmail.ini and the nodes' public keys, handed to
 * chatmail-cluster on the store, waited for until every gateway reports it. */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/mem.h"
#include "fleet.h"
#include "hash.h"
#include "proxy/state.h"
#include "publish.h"
#include "store_sql.h"

#define WAIT_SECONDS "60"
#define WAIT_MS      75000

static const uint16_t public_ports[] = {25, 80, 143, 443, 465, 587, 993};

static void fill_gateway(const struct cm_conf_gateway *from, const char *wg_key,
                         struct px_gateway *to)
{
    snprintf(to->name, sizeof(to->name), "%s", from->name);
    to->number = (int)from->number;
    to->mode = from->mode;
    to->egress = from->egress;
    to->egress_weight = (int)from->egress_weight;
    to->agentless = !from->agent;
    to->by_proxy = from->data_plane == CM_PLANE_PROXY;
    to->by_header = from->proxy_protocol;
    to->budget = from->traffic_budget;
    char words[CM_ADDRESSES_MAX][64];
    to->address_count = cm_conf_words(from->addresses, words, CM_ADDRESSES_MAX);
    for (size_t i = 0; i < to->address_count; i++) {
        snprintf(to->addresses[i], sizeof(to->addresses[i]), "%.45s", words[i]);
    }
    const char *endpoint = from->endpoint != NULL && from->endpoint[0] != '\0'
                               ? from->endpoint
                               : to->addresses[0];
    snprintf(to->endpoint, sizeof(to->endpoint), "%s", endpoint);
    to->wg_port = (int)from->wg_port;
    snprintf(to->wg_public_key, sizeof(to->wg_public_key), "%s", wg_key);
}

void op_publish_fill(const struct op_cluster *c, struct px_state *state)
{
    const struct cm_conf *conf = &c->conf;

    *state = (struct px_state){.epoch = 0};
    snprintf(state->domain, sizeof(state->domain), "%s", conf->mail_domain);
    snprintf(state->store_wg_public_key, sizeof(state->store_wg_public_key), "%.44s",
             c->nodes[0].wg_key);
    state->bus_port = (int)conf->store.bus_port;
    state->metrics_port = (int)conf->store.metrics_port;
    state->port_count = sizeof(public_ports) / sizeof(public_ports[0]);
    memcpy(state->ports, public_ports, sizeof(public_ports));
    if (conf->store.turn) {
        state->turn =
            (struct px_turn){CM_TURN_PORT, (uint16_t)conf->store.turn_port_min,
                             (uint16_t)conf->store.turn_port_max};
    }
    state->egress = conf->store.egress;
    state->limits =
        (struct px_limits){(int)conf->store.source_rate, (int)conf->store.source_burst,
                           (int)conf->store.stranger_rate};
    for (size_t i = 0; i < conf->gateway_count; i++) {
        if (!c->nodes[i + 1].left_out) {
            fill_gateway(&conf->gateways[i], c->nodes[i + 1].wg_key,
                         &state->gateways[state->gateway_count++]);
        }
    }
}

char *op_publish_state(const struct op_cluster *c)
{
    struct px_state *state = cm_malloc(sizeof(*state));

    op_publish_fill(c, state);
    char *text = px_state_dump(state);
    free(state);
    return text;
}

/* "HASH EPOCH" of what this tool published last, and the epoch there is now: when both
 * agree nobody has published anything else since. Bans bring epochs of their own; the
 * store then says that the content is still that one. */
static int check_published(struct op_step *step, struct cm_err *err)
{
    struct op_cluster *c = step->ctx;
    struct op_node *store = &c->nodes[0];
    char *const *given = step->arg;
    char hash[OP_HASH_TEXT], stamp[OP_HASH_TEXT] = "", *said;
    long long stamp_epoch = -1;

    free(c->state);
    c->state = given != NULL ? cm_strdup(*given) : op_publish_state(c);
    op_hash(c->state, strlen(c->state), hash);
    if (op_host_ask(&store->host,
                    "cat " OP_APPLIED_DIR "/desired-state 2>/dev/null || echo - -1\n"
                    "chatmail-cluster ctl status 2>/dev/null; true",
                    &said, err) != 0) {
        return -1;
    }
    int n = sscanf(said, "%64s %lld", stamp, &stamp_epoch);
    char *status = strchr(said, '\n');
    json_t *o = json_loads(status != NULL ? status : "", 0, NULL);
    long long epoch = json_integer_value(json_object_get(o, "epoch"));
    const char *refused = json_string_value(json_object_get(o, "refused"));
    bool forged = refused != NULL && refused[0] != '\0';
    const char *content = json_string_value(json_object_get(o, "content"));
    bool same = content != NULL && strcmp(content, hash) == 0;
    json_decref(o);
    free(said);
    if (n == 2 && strcmp(stamp, hash) == 0 && (epoch == stamp_epoch || same) &&
        epoch > 0 && !forged) {
        op_step_note(step, "epoch %lld", epoch);
        return 1;
    }
    op_step_note(step,
                 forged          ? "the document after epoch %lld is not genuine"
                 : given != NULL ? "epoch %lld says something else"
                                 : "epoch %lld is not what chatmail.ini says",
                 epoch);
    return 0;
}

static int publish(struct op_step *step, struct cm_err *err)
{
    struct op_cluster *c = step->ctx;
    struct op_node *store = &c->nodes[0];
    char hash[OP_HASH_TEXT], epoch_text[24], *said;
    struct op_cmd send = {.script = "chatmail-cluster ctl publish", .input = c->state};

    if (op_host_run(&store->host, &send, &said, err) != 0) {
        return -1;
    }
    json_t *o = json_loads(said, 0, NULL);
    json_t *epoch = json_object_get(o, "epoch");
    if (!json_is_integer(epoch)) {
        cm_err_set(err, CM_ERR_WORLD, "store: publish answered: %.200s", said);
        json_decref(o);
        free(said);
        return -1;
    }
    snprintf(epoch_text, sizeof(epoch_text), "%lld",
             (long long)json_integer_value(epoch));
    json_decref(o);
    free(said);
    op_hash(c->state, strlen(c->state), hash);
    struct op_cmd stamp = {.script = "mkdir -p " OP_APPLIED_DIR "; cd " OP_APPLIED_DIR
                                     " && echo \"$1 $2\" >desired-state.new &&"
                                     " sync desired-state.new &&"
                                     " mv desired-state.new desired-state",
                           .args = {hash, epoch_text},
                           .repeatable = true};
    op_step_note(step, "epoch %s", epoch_text);
    return op_host_run(&store->host, &stamp, NULL, err);
}

/* ---- reports ---- */

/* Who has not applied the epoch in force, and why: their number, or -1. */
static int count_late(struct op_cluster *c, char *late, size_t size, struct cm_err *err)
{
    struct op_fleet fleet;
    size_t living;
    char *status;

    if (op_host_ask(&c->nodes[0].host, "chatmail-cluster ctl status", &status, err) !=
        0) {
        return -1;
    }
    int rc = op_fleet_parse(status, &fleet, err);
    free(status);
    return rc == 0 ? (int)op_fleet_late(&fleet, "", &living, late, size) : -1;
}

static int check_applied(struct op_step *step, struct cm_err *err)
{
    char late[180];
    int n = count_late(step->ctx, late, sizeof(late), err);

    if (n > 0) {
        op_step_note(step, "not yet: %s", late);
    }
    return n < 0 ? -1 : n == 0;
}

static int wait_applied(struct op_step *step, struct cm_err *err)
{
    struct op_cluster *c = step->ctx;
    char epoch[24] = "", late[180], *said;
    struct cm_err ignored;

    if (op_host_ask(&c->nodes[0].host,
                    "set -- $(cat " OP_APPLIED_DIR "/desired-state); echo \"$2\"",
                    &said, err) != 0) {
        return -1;
    }
    snprintf(epoch, sizeof(epoch), "%s", said);
    free(said);
    struct op_cmd cmd = {.script = "chatmail-cluster ctl wait \"$1\" " WAIT_SECONDS,
                         .args = {epoch},
                         .timeout_ms = WAIT_MS,
                         .repeatable = true};
    if (op_host_run(&c->nodes[0].host, &cmd, NULL, err) != 0) {
        bool told = count_late(c, late, sizeof(late), &ignored) > 0;
        return told ? cm_err_set(err, CM_ERR_WORLD,
                                 "not every gateway took epoch %s within %s s: %s",
                                 epoch, WAIT_SECONDS, late)
                    : cm_err_prefix(err, "epoch %s was not seen everywhere", epoch);
    }
    op_step_note(step, "epoch %s everywhere", epoch);
    return 0;
}

void op_add_publish_of(struct op_plan *plan, struct op_cluster *c, const char *name,
                       char *const *document)
{
    struct op_step s = {.node = "store",
                        .name = name,
                        .check = check_published,
                        .act = publish,
                        .ctx = c,
                        .arg = document};

    op_plan_add(plan, &s);
}

void op_add_publish(struct op_plan *plan, struct op_cluster *c)
{
    op_add_publish_of(plan, c, "desired state", NULL);
}

void op_add_wait(struct op_plan *plan, struct op_cluster *c)
{
    struct op_step s = {.node = "store",
                        .name = "gateways have applied it",
                        .check = check_applied,
                        .act = wait_applied,
                        .waits = true,
                        .ctx = c};

    if (c->conf.gateway_count > 0) {
        op_plan_add(plan, &s);
    }
}

/* ---- keys of gateways that are not touched ---- */

const char op_publish_keys_sql[] =
    "select g->>'name' || ' ' || (g->>'wg_public_key') from"
    " (select split_part(envelope, E'\\n', 2)::json as d from desired_state"
    "  order by epoch desc limit 1) s, json_array_elements(d->'gateways') g;\n";

static void take_key(struct op_node *node, const char *lines)
{
    size_t n = strlen(node->host.name);

    for (const char *l = lines; *l != '\0';) {
        size_t len = strcspn(l, "\n");
        if (len == n + 1 + 44 && strncmp(l, node->host.name, n) == 0 && l[n] == ' ') {
            snprintf(node->wg_key, sizeof(node->wg_key), "%.44s", l + n + 1);
        }
        l += len + (l[len] == '\n');
    }
}

/* Would its own `run` read it there? Then chatmail.ini has none. */
static bool is_published_only(const struct op_node *n)
{
    return n->skipped && n->gateway->ssh[0] != '\0' && n->gateway->agent;
}

static int read_published_keys(struct op_cluster *c, char **lines_r, struct cm_err *err)
{
    for (size_t i = 1; i < c->node_count; i++) {
        if (is_published_only(&c->nodes[i])) {
            return op_store_sql(&c->nodes[0].host, op_publish_keys_sql, lines_r, err);
        }
    }
    *lines_r = cm_strdup("");
    return 0;
}

static int check_known_keys(struct op_step *step, struct cm_err *err)
{
    struct op_cluster *c = step->ctx;
    char *lines;

    if (read_published_keys(c, &lines, err) != 0) {
        return -1;
    }
    for (size_t i = 1; i < c->node_count; i++) {
        struct op_node *n = &c->nodes[i];
        if (is_published_only(n)) {
            take_key(n, lines);
            n->left_out = n->wg_key[0] == '\0';
        } else if (n->skipped) {
            snprintf(n->wg_key, sizeof(n->wg_key), "%s", n->gateway->wg_public_key);
        }
        if (n->left_out) {
            op_step_note(step, "%s waits for: chatops run", n->host.name);
        }
    }
    free(lines);
    return 1;
}

void op_add_known_keys(struct op_plan *plan, struct op_cluster *c)
{
    struct op_step s = {.node = "store",
                        .name = "keys of the other gateways",
                        .check = check_known_keys,
                        .ctx = c};

    for (size_t i = 1; i < c->node_count; i++) {
        if (c->nodes[i].skipped) {
            op_plan_add(plan, &s);
            return;
        }
    }
}
