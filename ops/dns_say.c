/* What `chatops dns` found, for people and for programs. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "dns.h"
#include "say.h"
#include "txt.h"

static void say_finding(const struct op_look *k, const struct op_finding *f)
{
    const struct op_record *r = &k->zone.items[f->first];

    op_say(OP_PLAIN, "; %s%s%s", op_verdict_name(f->verdict),
           f->why[0] != '\0' ? ": " : "", f->why);
    if (f->published[0] != '\0') {
        op_say(OP_PLAIN, "; published is: %s", f->published);
    }
    for (size_t j = 0; j < f->n; j++) {
        char *line = op_zone_line(&r[j]);
        op_print(OP_PLAIN, line);
        free(line);
    }
    if (strcmp(r->type, "TXT") == 0 && strstr(r->data, "\" \"") != NULL) {
        char text[OP_TXT_MAX];
        op_txt_join(r->data, text, sizeof(text));
        op_say(OP_PLAIN, "; for a web form that wants it in one piece:");
        op_print(OP_PLAIN, r->name);
        op_print(OP_PLAIN, text);
    }
    if (strcmp(r->type, OP_REVERSE) == 0) {
        op_say(OP_PLAIN, "; set by whoever rents you the address");
    }
}

static void say_bad(const struct op_look *k, bool required)
{
    for (size_t i = 0; i < k->count; i++) {
        const struct op_finding *f = &k->findings[i];
        if (f->verdict != OP_RIGHT && f->verdict != OP_NOT_YET &&
            k->zone.items[f->first].required == required) {
            say_finding(k, f);
        }
    }
}

static size_t count_verdict(const struct op_look *k, bool required, bool pending)
{
    size_t n = 0;

    for (size_t i = 0; i < k->count; i++) {
        enum op_verdict v = k->findings[i].verdict;
        n += k->zone.items[k->findings[i].first].required == required &&
             v != OP_RIGHT && (v == OP_NOT_YET) == pending;
    }
    return n;
}

static void say_pending(const struct op_look *k)
{
    for (size_t i = 0; i < k->count; i++) {
        const struct op_finding *f = &k->findings[i];
        if (f->verdict == OP_NOT_YET) {
            const struct op_record *r = &k->zone.items[f->first];
            op_say(OP_PLAIN, "; %s %s: %s", r->name, r->type, f->why);
        }
    }
}

static void say_servers(const struct op_look *k)
{
    for (size_t i = 0; i < k->server_count; i++) {
        const struct op_authority *s = &k->servers[i];
        if (!s->answers) {
            op_warn("%s; it is left out", s->why);
        }
    }
}

static size_t say_policies(const struct op_look *k)
{
    size_t bad = 0;

    for (size_t i = 0; i < k->policy_count; i++) {
        const struct op_policy *p = &k->policies[i];
        if (!p->right && bad++ == 0) {
            op_say(OP_YELLOW,
                   "\nWARNING: https://mta-sts.%s/.well-known/mta-sts.txt:", k->domain);
        }
        if (!p->right) {
            op_say(OP_PLAIN, "; through %s: %s", p->address, p->why);
        }
    }
    return bad;
}

/* Is anything wrong that the operator can change in the zone? */
static bool in_own_zone(const struct op_look *k)
{
    for (size_t i = 0; i < k->count; i++) {
        enum op_verdict v = k->findings[i].verdict;
        if (v != OP_RIGHT && v != OP_NOT_YET &&
            strcmp(k->zone.items[k->findings[i].first].type, OP_REVERSE) != 0) {
            return true;
        }
    }
    return false;
}

static int say_text(const struct op_look *k)
{
    size_t required = count_verdict(k, true, false);
    size_t recommended = count_verdict(k, false, false);
    size_t pending = count_verdict(k, true, true) + count_verdict(k, false, true);
    char *zone = op_zone_text(&k->zone);

    say_servers(k);
    op_print(OP_PLAIN, zone);
    free(zone);
    if (required > 0) {
        op_say(OP_RED, "Please set required DNS entries at your DNS provider:");
        say_bad(k, true);
    }
    if (recommended > 0) {
        op_say(OP_YELLOW, "%sWARNING: these recommended DNS entries are not set:",
               required > 0 ? "\n" : "");
        say_bad(k, false);
    }
    if (pending > 0) {
        op_say(OP_YELLOW,
               "%sThese are set, and not visible everywhere yet; look again later:",
               required + recommended > 0 ? "\n" : "");
        say_pending(k);
    }
    size_t policies = say_policies(k);
    if (in_own_zone(k)) {
        op_say(OP_PLAIN, "\nas fields of a web form: chatops dns --form; by an update: "
                         "chatops dns --apply");
    } else if (required + recommended + pending + policies == 0) {
        op_say(OP_GREEN,
               "Great! All your DNS entries are verified and correct "
               "(%zu sets on %zu servers).",
               k->count, k->server_count);
    }
    return op_look_bad(k, true) > 0 ? OP_EXIT_FAILED : OP_EXIT_OK;
}

static json_t *server_json(const struct op_authority *s)
{
    return json_pack("{s:s, s:s, s:b, s:b, s:I, s:b, s:s}", "name", s->at.name,
                     "address", s->at.address, "hidden", s->hidden, "answers",
                     s->answers, "serial", (json_int_t)s->serial, "stale", s->stale,
                     "why", s->why);
}

static json_t *finding_json(const struct op_look *k, const struct op_finding *f)
{
    const struct op_record *r = &k->zone.items[f->first];
    json_t *data = json_array();

    for (size_t j = 0; j < f->n; j++) {
        json_array_append_new(data, json_string(r[j].data));
    }
    return json_pack("{s:s, s:s, s:b, s:s, s:o, s:s, s:s, s:I}", "name", r->name,
                     "type", r->type, "required", r->required, "verdict",
                     op_verdict_name(f->verdict), "wanted", data, "published",
                     f->published, "why", f->why, "ttl_s", (json_int_t)f->ttl_s);
}

static int say_json(const struct op_look *k)
{
    json_t *sets = json_array(), *servers = json_array(), *policies = json_array();
    bool ok = op_look_bad(k, true) == 0;

    for (size_t i = 0; i < k->count; i++) {
        json_array_append_new(sets, finding_json(k, &k->findings[i]));
    }
    for (size_t i = 0; i < k->server_count; i++) {
        json_array_append_new(servers, server_json(&k->servers[i]));
    }
    for (size_t i = 0; i < k->policy_count; i++) {
        const struct op_policy *p = &k->policies[i];
        json_array_append_new(policies,
                              json_pack("{s:s, s:b, s:s}", "through", p->address,
                                        "right", p->right, "why", p->why));
    }
    json_t *all = json_pack("{s:s, s:b, s:s, s:o, s:o, s:o}", "domain", k->domain, "ok",
                            ok, "zone", k->origin, "servers", servers, "sets", sets,
                            "mta_sts_policy", policies);
    op_answer(all);
    return ok ? OP_EXIT_OK : OP_EXIT_FAILED;
}

int op_dns_say(const struct op_cli *cli, const struct op_look *k)
{
    return cli->json ? say_json(k) : say_text(k);
}
