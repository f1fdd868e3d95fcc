/* chatops gateway drain, resume, hold, off, remove, rotate. */
#include "modes.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/mem.h"
#include "ini_edit.h"
#include "say.h"
#include "store_sql.h"
#include "zone.h"

#define NOTE_MAX  (64 * 1024)
#define LINES_MAX (64 * 1024)

/* ---- what the store says ---- */

const char op_modes_facts_sql[] =
    "select 'document ' || split_part(envelope, E'\\n', 2) from desired_state"
    " order by epoch desc limit 1;\n"
    "select 'number ' || number || ' ' || name from gateway order by number;\n";

void op_published_clear(struct op_published *was)
{
    free(was->numbers);
    was->numbers = NULL;
}

int op_published_parse(const char *rows, const char *status, struct op_published *was_r,
                       struct cm_err *err)
{
    struct cm_buf numbers;
    bool found = false;

    *was_r = (struct op_published){.numbers = NULL};
    cm_buf_init(&numbers, NOTE_MAX);
    for (const char *l = rows; *l != '\0';) {
        size_t len = strcspn(l, "\n");
        if (len > 9 && strncmp(l, "document ", 9) == 0) {
            if (px_state_parse(l + 9, len - 9, &was_r->state, err) != 0) {
                cm_buf_clear(&numbers);
                return cm_err_prefix(err, "the desired state on the store");
            }
            found = true;
        } else if (len > 7 && strncmp(l, "number ", 7) == 0) {
            cm_buf_fmt(&numbers, "%.*s\n", (int)len - 7, l + 7);
        }
        l += len + (l[len] == '\n');
    }
    was_r->numbers = cm_buf_steal(&numbers);
    if (!found) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "nothing has been published yet; run: chatops run");
    }
    if (op_fleet_parse(status, &was_r->fleet, err) != 0) {
        return -1;
    }
    return was_r->fleet.refused[0] == '\0'
               ? 0
               : cm_err_set(err, CM_ERR_WORLD,
                            "the newest desired state is refused (%s); run: chatops "
                            "run",
                            was_r->fleet.refused);
}

int op_published_read(struct op_cluster *c, struct op_published *was_r,
                      struct cm_err *err)
{
    struct op_host *store = &c->nodes[0].host;
    char *rows = NULL, *status = NULL;
    int rc = -1;

    *was_r = (struct op_published){.numbers = NULL};
    if (op_store_sql(store, op_modes_facts_sql, &rows, err) == 0 &&
        op_host_ask(store, "chatmail-cluster ctl status", &status, err) == 0) {
        rc = op_published_parse(rows, status, was_r, err);
    }
    free(rows);
    free(status);
    return rc;
}

bool op_published_knew(const struct op_published *was, const char *name)
{
    size_t n = strlen(name);

    for (const char *l = was->numbers; *l != '\0';) {
        size_t len = strcspn(l, "\n");
        const char *blank = memchr(l, ' ', len);
        if (blank != NULL && len - (size_t)(blank - l) - 1 == n &&
            strncmp(blank + 1, name, n) == 0) {
            return true;
        }
        l += len + (l[len] == '\n');
    }
    return false;
}

int op_drain_time(const char *text, int64_t *ms_r, struct cm_err *err)
{
    int64_t seconds = OP_DRAIN_S;

    if (text != NULL && cm_value_int(text, 0, OP_DRAIN_MAX_S, &seconds, err) != 0) {
        return cm_err_prefix(err, "--for");
    }
    *ms_r = seconds * 1000;
    return 0;
}

char *op_edited_state(const struct px_state *state, const char *name, enum cm_mode mode,
                      bool removes, enum cm_egress egress)
{
    struct px_state *s = cm_malloc(sizeof(*s));
    size_t n = 0;

    *s = *state;
    s->epoch = 0;
    s->egress = egress;
    for (size_t i = 0; i < state->gateway_count; i++) {
        bool ours = strcmp(state->gateways[i].name, name) == 0;
        if (ours && removes) {
            continue;
        }
        s->gateways[n] = state->gateways[i];
        s->gateways[n].mode = ours ? mode : s->gateways[n].mode;
        n++;
    }
    s->gateway_count = n;
    char *text = px_state_dump(s);
    free(s);
    return text;
}

/* ---- before anything is changed ---- */

static const struct cm_conf_gateway *find_conf(const struct cm_conf *conf,
                                               const char *name)
{
    for (size_t i = 0; i < conf->gateway_count; i++) {
        if (strcmp(conf->gateways[i].name, name) == 0) {
            return &conf->gateways[i];
        }
    }
    return NULL;
}

static int unknown_gateway(const struct cm_conf *conf, const char *name,
                           struct cm_err *err)
{
    struct cm_buf b;

    cm_buf_init(&b, 4096);
    for (size_t i = 0; i < conf->gateway_count; i++) {
        cm_buf_fmt(&b, "%s%s", i > 0 ? ", " : "", conf->gateways[i].name);
    }
    cm_err_set(err, CM_ERR_REFUSE, "there is no gateway \"%.64s\"; there %s: %s", name,
               conf->gateway_count == 1 ? "is" : "are", b.len > 0 ? b.data : "none");
    cm_buf_clear(&b);
    return -1;
}

/* chatmail.ini without that gateway, as its reader understands it. */
static int conf_without(const struct op_cluster *c, const char *section,
                        struct cm_conf *conf_r, struct cm_err *err)
{
    char *text;

    if (op_ini_without_section(c->ini, section, &text, err) != 0) {
        return -1;
    }
    int rc = cm_conf_parse(c->cli->config, text, strlen(text), conf_r, err);
    free(text);
    return rc == 0 ? 0 : cm_err_prefix(err, "without [%s]", section);
}

/* Egress that was not written down follows from which gateways there are. */
static int egress_after(const struct op_change *ch, enum cm_egress *egress_r,
                        struct cm_err *err)
{
    enum cm_egress now = ch->was.state.egress;
    struct cm_conf conf;

    *egress_r = now;
    if (!ch->removes || !ch->in_ini) {
        return 0;
    }
    if (conf_without(ch->c, ch->section, &conf, err) != 0) {
        return -1;
    }
    *egress_r = now == ch->c->conf.store.egress ? conf.store.egress : now;
    cm_conf_clear(&conf);
    return 0;
}

static int refuse_last(const struct op_change *ch, struct cm_err *err)
{
    bool shuts = ch->drains || ch->removes || ch->mode == CM_MODE_OFF;

    if (!shuts || ch->c->cli->force || !op_fleet_is_last(&ch->was.fleet, ch->name)) {
        return 0;
    }
    return cm_err_set(
        err, CM_ERR_REFUSE,
        "%s is the last gateway that serves: nobody could reach the relay; "
        "resume or add another first, or say --force",
        ch->name);
}

/* ch->was is read. 1 there is something to look after, 0 it was removed before. */
static int prepare(struct op_change *ch, struct cm_err *err)
{
    const struct cm_conf_gateway *in_ini = find_conf(&ch->c->conf, ch->name);
    const struct px_gateway *in_state = px_state_find(&ch->was.state, ch->name);
    enum cm_egress egress;

    snprintf(ch->section, sizeof(ch->section), "gateway %s", ch->name);
    ch->in_ini = in_ini != NULL;
    ch->in_state = in_state != NULL;
    ch->number = in_ini != NULL ? (int)in_ini->number
                 : ch->in_state ? in_state->number
                                : 0;
    if (!ch->in_ini && !ch->in_state) {
        return ch->removes && op_published_knew(&ch->was, ch->name)
                   ? 0
                   : unknown_gateway(&ch->c->conf, ch->name, err);
    }
    if (!ch->in_state && !ch->removes) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s is in %s, but not part of the published state; run: "
                          "chatops run",
                          ch->name, ch->c->cli->config);
    }
    if (refuse_last(ch, err) != 0 || egress_after(ch, &egress, err) != 0) {
        return -1;
    }
    ch->with_mode = op_edited_state(&ch->was.state, ch->name, ch->mode, false,
                                    ch->was.state.egress);
    ch->without = op_edited_state(&ch->was.state, ch->name, ch->mode, true, egress);
    return 1;
}

/* A number is never given again, by whatever way its gateway came into chatmail.ini. */
static int note_number(const struct op_change *ch, struct cm_err *err)
{
    char *path = cm_asprintf("%s/numbers", ch->c->state_dir), *used = NULL;
    char *line = cm_asprintf("%d %s\n", ch->number, ch->name);
    int rc = cm_file_read(path, NOTE_MAX, &used, NULL, err);

    if (rc >= 0 && (used == NULL || strstr(used, line) == NULL)) {
        char *text = cm_asprintf("%s%s", used != NULL ? used : "", line);
        rc = cm_file_replace(path, text, strlen(text), 0600, err);
        free(text);
    }
    free(path);
    free(used);
    free(line);
    return rc < 0 ? -1 : 0;
}

/* ---- DNS ---- */

static void list_records(const struct cm_conf *conf, struct op_zone *zone)
{
    struct op_zone_input in = {
        .conf = conf, .dkim_key = "", .acme_account = "", .mta_sts_id = ""};

    op_zone_build(&in, zone);
}

static bool has_record(const struct op_zone *zone, const struct op_record *r)
{
    for (size_t i = 0; i < zone->count; i++) {
        const struct op_record *o = &zone->items[i];
        if (strcmp(o->name, r->name) == 0 && strcmp(o->type, r->type) == 0 &&
            strcmp(o->data, r->data) == 0) {
            return true;
        }
    }
    return false;
}

/* Lines of zone files that `a` has and `b` has not, as a JSON array. */
static json_t *only_in(const struct cm_conf *a, const struct cm_conf *b)
{
    json_t *lines = json_array();
    struct op_zone za, zb;

    list_records(a, &za);
    list_records(b, &zb);
    for (size_t i = 0; i < za.count; i++) {
        if (!has_record(&zb, &za.items[i])) {
            char *line = op_zone_line(&za.items[i]);
            json_array_append_new(lines, json_string(line));
            free(line);
        }
    }
    op_zone_clear(&za);
    op_zone_clear(&zb);
    return lines;
}

struct dns_change {
    json_t *gone; /* arrays of zone lines, or NULL */
    json_t *wanted;
};

/* Every record that the gateway had counts, in whatever mode it was; and so does every
 * one of its successor, though it may be published already. */
static int dns_after(struct op_change *ch, const char *successor,
                     struct dns_change *dns_r, struct cm_err *err)
{
    struct cm_conf after, before;
    char section[48];

    *dns_r = (struct dns_change){NULL, NULL};
    if (!ch->removes || !ch->in_ini) {
        return 0;
    }
    for (size_t i = 0; i < ch->c->conf.gateway_count; i++) {
        struct cm_conf_gateway *g = &ch->c->conf.gateways[i];
        g->mode = strcmp(g->name, ch->name) == 0 ? CM_MODE_ACTIVE : g->mode;
    }
    if (conf_without(ch->c, ch->section, &after, err) != 0) {
        return -1;
    }
    dns_r->gone = only_in(&ch->c->conf, &after);
    snprintf(section, sizeof(section), "gateway %.32s", successor ? successor : "");
    if (successor != NULL && conf_without(ch->c, section, &before, err) == 0) {
        dns_r->wanted = only_in(&after, &before);
        cm_conf_clear(&before);
    }
    cm_conf_clear(&after);
    return 0;
}

static void say_records(const char *title, const json_t *lines)
{
    const json_t *line;
    size_t i;

    if (json_array_size(lines) > 0) {
        op_say(OP_PLAIN, "%s", title);
    }
    json_array_foreach(lines, i, line)
    {
        op_say(OP_PLAIN, "  %s", json_string_value(line));
    }
}

/* ---- the end ---- */

static const char *const done_words[] = {
    [CM_MODE_ACTIVE] = "takes connections",
    [CM_MODE_DRAIN] = "is drained",
    [CM_MODE_HOLD] = "leaves new connections without an answer",
    [CM_MODE_OFF] = "is off",
};

static void next_word(const struct op_change *ch, char *out, size_t size)
{
    if (ch->removes) {
        snprintf(out, size, "delete the DNS records, then give the machine back");
    } else if (ch->mode == CM_MODE_DRAIN) {
        snprintf(out, size, "reboot it, then: chatops gateway resume %s", ch->name);
    } else if (ch->mode == CM_MODE_HOLD || ch->mode == CM_MODE_OFF) {
        snprintf(out, size, "chatops gateway resume %s", ch->name);
    } else {
        out[0] = '\0';
    }
}

static int64_t let_go(const struct op_change *ch)
{
    int64_t n = ch->flows_found - ch->flows_cut;

    return n > 0 ? n : 0;
}

static void say_json(const struct op_change *ch, const struct op_summary *sum,
                     const struct dns_change *dns)
{
    char next[120];

    next_word(ch, next, sizeof(next));
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:b, s:b, s:s, s:s}", "result", "ok", "gateway",
                  ch->name, "mode", ch->removes ? "removed" : cm_mode_name(ch->mode),
                  "changed", sum->changed > 0 || ch->flows_cut > 0, "run_needed",
                  ch->run_needed, "late", ch->late, "next", next);
    if (ch->drains) {
        json_object_set_new(o, "flows_ended", json_integer(let_go(ch)));
        json_object_set_new(o, "flows_cut", json_integer(ch->flows_cut));
    }
    if (ch->removes) {
        json_object_set(o, "dns_delete", dns->gone != NULL ? dns->gone : json_null());
        json_object_set(o, "dns_keep", dns->wanted != NULL ? dns->wanted : json_null());
    }
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

static void say_text(const struct op_change *ch, const struct op_summary *sum,
                     const struct dns_change *dns)
{
    bool news = sum->changed > 0 || ch->flows_cut > 0;
    char flows[100] = "", next[120];

    if (ch->drains && (news || ch->flows_found > 0)) {
        snprintf(flows, sizeof(flows), "; %lld flow%s let go, %lld cut",
                 (long long)let_go(ch), let_go(ch) == 1 ? "" : "s",
                 (long long)ch->flows_cut);
    }
    op_say(OP_GREEN, "%s %s%s%s", ch->name,
           ch->removes ? "is removed" : done_words[ch->mode], news ? "" : " already",
           flows);
    if (dns->gone != NULL) {
        say_records("delete these DNS records:", dns->gone);
        say_records("these stay, or are still to be published:", dns->wanted);
    }
    next_word(ch, next, sizeof(next));
    if (next[0] != '\0') {
        op_say(OP_PLAIN, "next: %s", next);
    }
    if (ch->run_needed) {
        op_say(OP_PLAIN, "other changes in %s wait for: chatops run",
               ch->c->cli->config);
    }
}

static int finish(struct op_change *ch, const struct op_summary *sum,
                  const struct dns_change *dns)
{
    if (ch->c->cli->json) {
        say_json(ch, sum, dns);
    } else {
        say_text(ch, sum, dns);
    }
    if (ch->late[0] == '\0') {
        return OP_EXIT_OK;
    }
    op_warn("others have not applied the present state: %s; see: chatops status",
            ch->late);
    return OP_EXIT_FAILED;
}

static int run_change(struct op_change *ch, const char *successor, struct cm_err *err)
{
    struct op_plan plan;
    struct op_summary sum = {0};
    struct dns_change dns;
    int rc = -1;

    op_plan_init(&plan, ch->c->state_dir, ch->c->cli->json);
    op_plan_catch(&plan);
    ch->plan = &plan;
    if (dns_after(ch, successor, &dns, err) == 0 &&
        (!ch->removes || note_number(ch, err) == 0)) {
        op_change_plan(ch);
        rc = op_plan_run(&plan, &sum, err);
        if (rc == 0) {
            rc = finish(ch, &sum, &dns);
        } else if (sum.stopped || *plan.interrupted) {
            op_complain("%s", err->text);
            rc = OP_EXIT_INT;
        }
    }
    json_decref(dns.gone);
    json_decref(dns.wanted);
    op_plan_clear(&plan);
    return rc;
}

/* ---- verbs ---- */

static int check_successor(const struct op_change *ch, const char *name,
                           struct cm_err *err)
{
    char why[300];

    if (find_conf(&ch->c->conf, name) == NULL) {
        return unknown_gateway(&ch->c->conf, name, err);
    }
    if (op_fleet_applied(&ch->was.fleet, name, CM_MODE_ACTIVE, why, sizeof(why))) {
        return 0;
    }
    return cm_err_set(err, CM_ERR_WORLD,
                      "%s cannot take over: %s; it has to be active and to report",
                      name, why);
}

static int say_removed_before(const struct op_change *ch)
{
    struct op_summary none = {0};
    struct dns_change dns = {NULL, NULL};

    if (ch->c->cli->json) {
        say_json(ch, &none, &dns);
    } else {
        op_say(OP_GREEN, "%s is removed already; chatops dns tells what is left of it",
               ch->name);
    }
    return OP_EXIT_OK;
}

static int change(const struct op_cli *cli, struct op_change *ch, const char *successor,
                  struct cm_err *err)
{
    struct op_cluster c;

    snprintf(ch->name, sizeof(ch->name), "%.32s", cli->args[0]);
    if (op_drain_time(cli->for_s, &ch->for_ms, err) != 0 ||
        (successor != NULL && strcmp(successor, cli->args[0]) == 0 &&
         cm_err_set(err, CM_ERR_REFUSE, "OLD and NEW are the same gateway") != 0)) {
        op_complain("%s", err->text);
        return OP_EXIT_USAGE;
    }
    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    ch->c = &c;
    int rc = op_published_read(&c, &ch->was, err);
    if (rc == 0 && successor != NULL) {
        rc = check_successor(ch, successor, err);
    }
    if (rc == 0) {
        rc = prepare(ch, err);
        rc = rc > 0    ? run_change(ch, successor, err)
             : rc == 0 ? say_removed_before(ch)
                       : -1;
    }
    free(ch->with_mode);
    free(ch->without);
    op_published_clear(&ch->was);
    op_cluster_clear(&c);
    return rc;
}

static int set_mode(const struct op_cli *cli, enum cm_mode mode, struct cm_err *err)
{
    struct op_change ch = {.mode = mode, .drains = mode == CM_MODE_DRAIN};

    return change(cli, &ch, NULL, err);
}

int op_gateway_drain(const struct op_cli *cli, struct cm_err *err)
{
    return set_mode(cli, CM_MODE_DRAIN, err);
}

int op_gateway_resume(const struct op_cli *cli, struct cm_err *err)
{
    return set_mode(cli, CM_MODE_ACTIVE, err);
}

int op_gateway_hold(const struct op_cli *cli, struct cm_err *err)
{
    return set_mode(cli, CM_MODE_HOLD, err);
}

int op_gateway_off(const struct op_cli *cli, struct cm_err *err)
{
    return set_mode(cli, CM_MODE_OFF, err);
}

int op_gateway_remove(const struct op_cli *cli, struct cm_err *err)
{
    struct op_change ch = {.mode = CM_MODE_DRAIN, .drains = true, .removes = true};

    return change(cli, &ch, NULL, err);
}

int op_gateway_rotate(const struct op_cli *cli, struct cm_err *err)
{
    struct op_change ch = {.mode = CM_MODE_DRAIN, .drains = true, .removes = true};

    return change(cli, &ch, cli->args[1], err);
}
