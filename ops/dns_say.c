/* What `chatops dns` found, for people and for programs. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "answer.h"
#include "dns.h"
#include "say.h"
#include "txt.h"

#define WIDTH     79
#define WHOLE_MAX 2048

/* As a comment of a zone file, each line of it. */
static void say_comment(const char *fmt, ...) CM_PRINTF(1, 2);
static void say_comment(const char *fmt, ...)
{
    char text[WHOLE_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (const char *p = text; *p != '\0';) {
        size_t n = strlen(p);
        if (n > WIDTH - 2) {
            n = WIDTH - 2;
            while (n > 0 && p[n] != ' ') {
                n--;
            }
            n = n > 0 ? n : strcspn(p, " ");
        }
        op_say(OP_PLAIN, "; %.*s", (int)n, p);
        p += n;
        p += strspn(p, " ");
    }
}

static bool is_bad(const struct op_finding *f)
{
    return f->verdict != OP_RIGHT && f->verdict != OP_NOT_YET;
}

static bool is_reverse(const struct op_record *r)
{
    return strcmp(r->type, OP_REVERSE) == 0;
}

enum group { REQUIRED, RECOMMENDED, REVERSE };

static bool in_group(const struct op_look *k, const struct op_finding *f,
                     enum group group)
{
    const struct op_record *r = &k->zone.items[f->first];
    return group == (is_reverse(r) ? REVERSE : r->required ? REQUIRED : RECOMMENDED);
}

struct counts {
    size_t all, bad, missing, pending;
};

static struct counts count(const struct op_look *k, enum group group)
{
    struct counts c = {.all = 0};

    for (size_t i = 0; i < k->count; i++) {
        const struct op_finding *f = &k->findings[i];
        if (in_group(k, f, group)) {
            c.all++;
            c.bad += is_bad(f);
            c.missing += f->verdict == OP_MISSING && f->why[0] == '\0';
            c.pending += f->verdict == OP_NOT_YET;
        }
    }
    return c;
}

/* ---- what is not right ---- */

static void say_finding(const struct op_look *k, const struct op_finding *f,
                        bool verdict)
{
    const struct op_record *r = &k->zone.items[f->first];

    if (verdict) {
        say_comment("%s%s%s", op_verdict_name(f->verdict),
                    f->why[0] != '\0' ? ": " : "", f->why);
    }
    if (f->published[0] != '\0') {
        say_comment("published is: %s", f->published);
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
}

/* That all are missing is said once. */
static void say_group(const struct op_look *k, enum group group, const struct counts *c)
{
    for (size_t i = 0; i < k->count; i++) {
        const struct op_finding *f = &k->findings[i];
        if (is_bad(f) && in_group(k, f, group)) {
            say_finding(k, f, c->missing < c->all);
        }
    }
}

/* By address: that is how a provider's panel asks for them. Reverse records stand in
 * the order of zone.egress. */
static void say_reverse(const struct op_look *k, const struct counts *c)
{
    size_t at = 0;

    op_say(OP_YELLOW,
           "\nWARNING: these addresses have no reverse name (PTR) that is "
           "right; set it at\nwhoever rents you the address, to %s:",
           k->domain);
    for (size_t i = 0; i < k->count; i++) {
        const struct op_finding *f = &k->findings[i];
        if (!in_group(k, f, REVERSE)) {
            continue;
        }
        const char *address = k->zone.egress[at++];
        if (is_bad(f) && c->missing == c->all) {
            say_comment("%s", address);
        } else if (is_bad(f)) {
            say_comment("%s: %s%s%s%s%s", address, op_verdict_name(f->verdict),
                        f->why[0] != '\0' ? ": " : "", f->why,
                        f->published[0] != '\0' ? "; published is: " : "",
                        f->published);
        }
    }
}

static void say_pending(const struct op_look *k)
{
    for (size_t i = 0; i < k->count; i++) {
        const struct op_finding *f = &k->findings[i];
        if (f->verdict == OP_NOT_YET) {
            const struct op_record *r = &k->zone.items[f->first];
            say_comment("%s %s: %s", r->name, r->type, f->why);
        }
    }
}

/* ---- servers and gateways ---- */

static bool other_answers(const struct op_look *k, const struct op_authority *s)
{
    for (size_t i = 0; i < k->server_count; i++) {
        if (k->servers[i].answers &&
            strcasecmp(k->servers[i].at.name, s->at.name) == 0) {
            return true;
        }
    }
    return false;
}

static void say_servers(const struct op_look *k)
{
    for (size_t i = 0; i < k->server_count; i++) {
        const struct op_authority *s = &k->servers[i];
        if (!s->answers && !(s->no_route && other_answers(k, s))) {
            op_warn("%s; it is left out", s->why);
        }
    }
}

static size_t say_policies(const struct op_look *k)
{
    size_t bad = 0;

    for (size_t i = 0; i < k->policy_count; i++) {
        const struct op_policy *p = &k->policies[i];
        if (p->tried && !p->right && bad++ == 0) {
            op_say(OP_YELLOW,
                   "\nWARNING: https://mta-sts.%s/.well-known/mta-sts.txt:", k->domain);
        }
        if (p->tried && !p->right) {
            say_comment("through %s: %s", p->address, p->why);
        }
    }
    return bad;
}

/* ---- all ---- */

static void say_great(const struct op_look *k)
{
    size_t servers = op_look_answering(k);
    char *zone = op_zone_text(&k->zone);

    op_print(OP_PLAIN, zone);
    free(zone);
    op_say(OP_GREEN,
           "Great! All your DNS entries are verified and correct "
           "(%zu sets on %zu server%s).",
           k->count, servers, servers == 1 ? "" : "s");
}

static void say_ways(const struct op_look *k, size_t bad)
{
    op_say(OP_PLAIN,
           "\n%zu of %zu sets %s not right. All records, and how to set them:\n"
           "  chatops dns --zonefile FILE   as a zone file\n"
           "  chatops dns --form            as fields of a web form\n"
           "  chatops dns --apply           by an update (RFC 2136)",
           bad, k->count, bad == 1 ? "is" : "are");
}

static int say_text(const struct op_look *k)
{
    const struct counts required = count(k, REQUIRED), advised = count(k, RECOMMENDED),
                        reverse = count(k, REVERSE);
    size_t pending = required.pending + advised.pending + reverse.pending;
    size_t bad = required.bad + advised.bad + reverse.bad;

    say_servers(k);
    if (required.bad > 0) {
        op_say(OP_RED, "Please set required DNS entries at your DNS provider%s:",
               required.missing == required.all ? " (none is there)" : "");
        say_group(k, REQUIRED, &required);
    }
    if (advised.bad > 0) {
        op_say(OP_YELLOW, "%sWARNING: these recommended DNS entries are not set:",
               required.bad > 0 ? "\n" : "");
        say_group(k, RECOMMENDED, &advised);
    }
    if (reverse.bad > 0) {
        say_reverse(k, &reverse);
    }
    if (pending > 0) {
        op_say(OP_YELLOW,
               "%sThese are set, and not visible everywhere yet; look again later:",
               bad > 0 ? "\n" : "");
        say_pending(k);
    }
    bool policies = say_policies(k) > 0;
    if (required.bad + advised.bad > 0) {
        say_ways(k, bad);
    } else if (bad + pending == 0 && !policies) {
        say_great(k);
    }
    return op_look_bad(k, true) > 0 ? OP_EXIT_FAILED : OP_EXIT_OK;
}

static json_t *server_json(const struct op_authority *s)
{
    return json_pack("{s:s, s:s, s:b, s:b, s:b, s:I, s:b, s:s}", "name", s->at.name,
                     "address", s->at.address, "hidden", s->hidden, "answers",
                     s->answers, "tried", !s->no_route && !s->lost, "serial",
                     (json_int_t)s->serial, "stale", s->stale, "why", s->why);
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
        json_array_append_new(policies, json_pack("{s:s, s:b, s:b, s:s}", "through",
                                                  p->address, "tried", p->tried,
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
