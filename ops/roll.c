#include "roll.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "say.h"
#include "waiting.h"

static void from_conf(const struct cm_conf_gateway *g, struct op_roll_row *row)
{
    *row = (struct op_roll_row){.number = g->number, .applied = -1};
    snprintf(row->name, sizeof(row->name), "%.32s", g->name);
    snprintf(row->mode, sizeof(row->mode), "%s", cm_mode_name(g->mode));
    snprintf(row->addresses, sizeof(row->addresses), "%s", g->addresses);
    snprintf(row->ssh, sizeof(row->ssh), "%.255s", g->ssh);
    row->weight = g->egress ? g->egress_weight : -1;
}

/* An older store does not judge; then its report has to do. */
static void take_health(const struct op_member *m, struct op_roll_row *row)
{
    if (m->health[0] != '\0') {
        snprintf(row->state, sizeof(row->state), "%s", m->health);
        snprintf(row->note, sizeof(row->note), "%s", m->health_reason);
    } else {
        snprintf(row->state, sizeof(row->state), "%s",
                 op_member_reports(m) ? "up" : "down");
    }
}

static void from_fleet(const struct op_fleet *fleet, const struct op_member *m,
                       struct op_roll_row *row)
{
    char why[300];
    enum cm_mode mode;
    struct cm_err ignored;

    take_health(m, row);
    snprintf(row->mode, sizeof(row->mode), "%s", m->mode);
    snprintf(row->version, sizeof(row->version), "%s", m->version);
    row->applied = m->applied_epoch;
    if (!m->agentless && cm_mode_parse(m->mode, &mode, &ignored) == 0 &&
        !op_fleet_applied(fleet, m->name, mode, why, sizeof(why))) {
        snprintf(row->note, sizeof(row->note), "%s", why);
    }
    if (m->agentless) {
        snprintf(row->version, sizeof(row->version), "no agent");
    }
}

/* It serves all the same; but nobody would guess why a run leaves its version alone. */
static void note_no_ssh(const struct cm_conf_gateway *g, struct op_roll_row *row)
{
    if (g->ssh[0] == '\0' && g->agent && row->note[0] == '\0') {
        snprintf(row->note, sizeof(row->note),
                 "no ssh: chatops run does not update it%s; to change that: chatops "
                 "gateway add %s --ssh TARGET",
                 row->version[0] != '\0' && strcmp(row->version, PORTICO_VERSION) != 0
                     ? ", and its version is another one"
                     : "",
                 g->name);
    }
}

static void put_state(struct op_roll_row *row, const char *state, const char *note)
{
    snprintf(row->state, sizeof(row->state), "%s", state);
    snprintf(row->note, sizeof(row->note), "%s", note);
}

static const struct cm_conf_gateway *in_conf(const struct cm_conf *conf,
                                             const char *name)
{
    for (size_t i = 0; i < conf->gateway_count; i++) {
        if (strcmp(conf->gateways[i].name, name) == 0) {
            return &conf->gateways[i];
        }
    }
    return NULL;
}

void op_roll_fill(const struct cm_conf *conf, const struct op_fleet *fleet,
                  struct op_roll *roll_r)
{
    *roll_r = (struct op_roll){.epoch = fleet != NULL ? fleet->epoch : -1};
    for (size_t i = 0; i < conf->gateway_count; i++) {
        struct op_roll_row *row = &roll_r->rows[roll_r->count++];
        const struct op_member *m =
            fleet != NULL ? op_fleet_find(fleet, conf->gateways[i].name) : NULL;
        from_conf(&conf->gateways[i], row);
        if (m != NULL) {
            from_fleet(fleet, m, row);
            note_no_ssh(&conf->gateways[i], row);
        } else if (fleet == NULL) {
            put_state(row, "unknown", "the store does not answer");
        } else {
            put_state(row, "not enrolled", "run: chatops run");
        }
    }
    for (size_t i = 0; fleet != NULL && i < fleet->count; i++) {
        const struct op_member *m = &fleet->members[i];
        if (in_conf(conf, m->name) == NULL) {
            struct op_roll_row *row = &roll_r->rows[roll_r->count++];
            *row = (struct op_roll_row){.weight = -1};
            snprintf(row->name, sizeof(row->name), "%s", m->name);
            from_fleet(fleet, m, row);
            snprintf(row->note, sizeof(row->note),
                     "published, but not in chatmail.ini; run: chatops run");
        }
    }
}

/* Accepted already: its row goes with the end of that call. */
static bool is_accepted(const struct cm_conf *conf, const struct op_waiting *w)
{
    const struct cm_conf_gateway *g = in_conf(conf, w->name);

    return g != NULL && w->joined && strcmp(g->wg_public_key, w->wg_key) == 0;
}

void op_roll_add_waiting(const struct cm_conf *conf, const struct op_waiters *waiters,
                         struct op_roll *roll)
{
    for (size_t i = 0; i < waiters->count; i++) {
        const struct op_waiting *w = &waiters->items[i];
        if (is_accepted(conf, w)) {
            continue;
        }
        struct op_roll_row *row = &roll->rows[roll->count++];
        *row = (struct op_roll_row){.number = w->number, .applied = -1, .weight = -1};
        snprintf(row->name, sizeof(row->name), "%s", w->name);
        snprintf(row->mode, sizeof(row->mode), "-");
        snprintf(row->addresses, sizeof(row->addresses), "%s", w->addresses);
        put_state(row, w->joined ? "waiting" : "invited", "");
        if (w->joined) {
            snprintf(row->note, sizeof(row->note),
                     "fingerprint %s; when its console shows the same: chatops gateway "
                     "accept %s",
                     w->print, w->name);
        } else {
            snprintf(row->note, sizeof(row->note), "%s %s",
                     w->over ? "nobody came; it ended" : "good until", w->expires);
        }
    }
}

/* ---- saying ---- */

static const char *or_dash(int64_t n, char out[24])
{
    snprintf(out, 24, n < 0 ? "-" : "%lld", (long long)n);
    return out;
}

static enum op_colour colour_of(const char *state)
{
    return strcmp(state, "up") == 0     ? OP_GREEN
           : strcmp(state, "down") == 0 ? OP_RED
                                        : OP_YELLOW;
}

static void say_row(const struct op_roll *roll, const struct op_roll_row *row)
{
    char number[24], weight[24], applied[24], epoch[52];
    char words[CM_ADDRESSES_MAX][64];
    size_t n = cm_conf_words(row->addresses, words, CM_ADDRESSES_MAX);

    snprintf(epoch, sizeof(epoch), "%s/%lld", or_dash(row->applied, applied),
             (long long)roll->epoch);
    op_say(colour_of(row->state), "%2s %-12.12s %-6s %-12s %9s %6s %-10.10s %s",
           or_dash(row->number, number), row->name, row->mode, row->state,
           roll->epoch < 0 ? "-" : epoch, or_dash(row->weight, weight),
           row->version[0] != '\0' ? row->version : "-", n > 0 ? words[0] : "-");
    for (size_t i = 1; i < n; i++) {
        op_say(OP_PLAIN, "%63s%s", "", words[i]);
    }
    if (row->note[0] != '\0') {
        op_say(OP_PLAIN, "   %s", row->note);
    }
}

void op_roll_say(const struct op_roll *roll)
{
    op_say(OP_PLAIN, "%2s %-12s %-6s %-12s %9s %6s %-10s %s", "", "gateway", "mode",
           "state", "epoch", "weight", "version", "addresses");
    for (size_t i = 0; i < roll->count; i++) {
        say_row(roll, &roll->rows[i]);
    }
}

static json_t *addresses_json(const char *text)
{
    char words[CM_ADDRESSES_MAX][64];
    size_t n = cm_conf_words(text, words, CM_ADDRESSES_MAX);
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_string(words[i]));
    }
    return list;
}

json_t *op_roll_json(const struct op_roll *roll)
{
    json_t *list = json_array();

    for (size_t i = 0; i < roll->count; i++) {
        const struct op_roll_row *r = &roll->rows[i];
        json_array_append_new(
            list,
            json_pack("{s:s, s:I, s:s, s:o, s:s, s:I, s:I, s:s, s:o, s:s, s:s}", "name",
                      r->name, "number", (json_int_t)r->number, "mode", r->mode,
                      "addresses", addresses_json(r->addresses), "state", r->state,
                      "applied_epoch", (json_int_t)r->applied, "wanted_epoch",
                      (json_int_t)roll->epoch, "version", r->version, "egress_weight",
                      r->weight < 0 ? json_null() : json_integer(r->weight), "ssh",
                      r->ssh, "note", r->note));
    }
    return list;
}
