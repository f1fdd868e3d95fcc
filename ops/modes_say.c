/* How a change of mode ends: what became of the flows, what to change in DNS, what to
 * do next, as text and as JSON. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "common/mem.h"
#include "ini_edit.h"
#include "modes.h"
#include "say.h"
#include "zone.h"

/* ---- DNS ---- */

int op_conf_without(const struct op_cluster *c, const char *section,
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

int op_dns_after(struct op_change *ch, const char *successor,
                 struct op_dns_change *dns_r, struct cm_err *err)
{
    struct cm_conf after, before;
    char section[48];

    *dns_r = (struct op_dns_change){NULL, NULL};
    if (!ch->removes || !ch->in_ini) {
        return 0;
    }
    for (size_t i = 0; i < ch->c->conf.gateway_count; i++) {
        struct cm_conf_gateway *g = &ch->c->conf.gateways[i];
        g->mode = strcmp(g->name, ch->name) == 0 ? CM_MODE_ACTIVE : g->mode;
    }
    if (op_conf_without(ch->c, ch->section, &after, err) != 0) {
        return -1;
    }
    dns_r->gone = only_in(&ch->c->conf, &after);
    snprintf(section, sizeof(section), "gateway %.32s", successor ? successor : "");
    if (successor != NULL && op_conf_without(ch->c, section, &before, err) == 0) {
        dns_r->wanted = only_in(&after, &before);
        cm_conf_clear(&before);
    }
    cm_conf_clear(&after);
    return 0;
}

int op_dns_added(const struct op_cluster *c, const char *name, json_t **lines_r,
                 struct cm_err *err)
{
    struct cm_conf before;
    char section[48];

    snprintf(section, sizeof(section), "gateway %.32s", name);
    if (op_conf_without(c, section, &before, err) != 0) {
        return -1;
    }
    *lines_r = only_in(&c->conf, &before);
    cm_conf_clear(&before);
    return 0;
}

void op_dns_change_clear(struct op_dns_change *dns)
{
    json_decref(dns->gone);
    json_decref(dns->wanted);
    *dns = (struct op_dns_change){NULL, NULL};
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
        char *text = cm_asprintf("  %s", json_string_value(line));
        op_print(OP_PLAIN, text);
        free(text);
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
                     const struct op_dns_change *dns)
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
    op_answer(o);
}

static void say_text(const struct op_change *ch, const struct op_summary *sum,
                     const struct op_dns_change *dns)
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

int op_change_say(const struct op_change *ch, const struct op_summary *sum,
                  const struct op_dns_change *dns)
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

int op_change_say_before(const struct op_change *ch)
{
    struct op_summary none = {0};
    struct op_dns_change dns = {NULL, NULL};

    if (ch->c->cli->json) {
        say_json(ch, &none, &dns);
    } else {
        op_say(OP_GREEN, "%s is removed already; chatops dns tells what is left of it",
               ch->name);
    }
    return OP_EXIT_OK;
}
