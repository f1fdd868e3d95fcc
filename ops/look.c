#include "look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/mem.h"
#include "policy.h"
#include "reach.h"
#include "spf.h"
#include "txt.h"

const char *op_verdict_name(enum op_verdict verdict)
{
    static const char *const names[] = {"right", "missing", "wrong", "not yet visible",
                                        "not known"};
    return names[verdict];
}

/* ---- servers ---- */

/* RFC 1982. */
static bool older(uint32_t a, uint32_t b)
{
    return a != b && (int32_t)(a - b) < 0;
}

static void probe(const struct op_look *k, struct op_authority *s)
{
    struct op_answers a;
    struct cm_err err;
    char *name =
        k->origin[0] != '\0' ? cm_strdup(k->origin) : cm_asprintf("%s.", k->domain);

    s->answers = false;
    s->no_route = !s->lost && !op_reach_route(s->at.address);
    a.count = 0;
    if (s->lost) {
        snprintf(s->why, sizeof(s->why), "no address is known of %.80s", s->at.name);
    } else if (s->no_route) {
        snprintf(s->why, sizeof(s->why), "no way to %.80s %s from this machine",
                 s->at.name, s->at.address);
    } else if (op_resolve(&s->at, name, "SOA", &a, &err) != 0) {
        snprintf(s->why, sizeof(s->why), "%.255s", err.text);
    } else if (!a.authoritative || a.count == 0) {
        snprintf(s->why, sizeof(s->why), "%.80s %s is not authoritative for %.80s",
                 s->at.name, s->at.address, name);
    } else {
        unsigned serial = 0;
        s->answers = sscanf(a.items[0], "%*s %*s %u", &serial) == 1;
        s->serial = serial;
        s->why[0] = '\0';
    }
    op_answers_clear(&a);
    free(name);
}

void op_look_probe(struct op_look *k)
{
    const struct op_authority *newest = NULL;

    for (size_t i = 0; i < k->server_count; i++) {
        struct op_authority *s = &k->servers[i];
        probe(k, s);
        if (s->answers && (newest == NULL || older(newest->serial, s->serial))) {
            newest = s;
        }
    }
    for (size_t i = 0; i < k->server_count; i++) {
        struct op_authority *s = &k->servers[i];
        s->stale = s->answers && older(s->serial, newest->serial);
    }
}

int op_look_servers(struct op_look *k, const struct op_server *primary,
                    struct cm_err *err)
{
    struct op_servers all;

    if (op_resolve_servers(&k->resolver, k->domain, &all, k->origin, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < all.count; i++) {
        k->servers[k->server_count++].at = all.items[i];
    }
    for (size_t i = 0; i < all.lost_count && k->server_count < OP_SERVERS_MAX; i++) {
        struct op_authority *s = &k->servers[k->server_count++];
        *s = (struct op_authority){.lost = true};
        snprintf(s->at.name, sizeof(s->at.name), "%s", all.lost[i]);
    }
    bool listed = primary == NULL;
    for (size_t i = 0; i < all.count && !listed; i++) {
        listed = strcmp(all.items[i].address, primary->address) == 0 &&
                 (primary->port == 0 || primary->port == 53);
    }
    if (!listed) {
        k->servers[k->server_count++] =
            (struct op_authority){.at = *primary, .hidden = true};
    }
    op_look_probe(k);
    return 0;
}

/* ---- SPF ---- */

struct asker {
    const struct op_look *look;
    bool own_known; /* the domain's own A, AAAA and MX are taken as they shall be */
};

static int ask(const char *name, const char *type, struct op_answers *out, void *ctx)
{
    const struct op_look *k = ((struct asker *)ctx)->look;
    char *full = cm_asprintf("%s.", name);
    struct cm_err ignored;
    int rc = 0;

    out->count = 0;
    if (strcasecmp(name, k->domain) == 0 && strcmp(type, "TXT") != 0) {
        for (size_t i = 0; i < k->zone.count && out->count < OP_ANSWERS_MAX; i++) {
            const struct op_record *r = &k->zone.items[i];
            if (strcmp(r->type, type) == 0 && strcasecmp(r->name, full) == 0) {
                out->items[out->count++] = cm_strdup(r->data);
            }
        }
    } else {
        rc = op_resolve(&k->resolver, full, type, out, &ignored);
    }
    free(full);
    return rc;
}

/* The one record of the answer, judged for each address that mail leaves from. */
static enum op_verdict judge_spf(const struct op_look *k, const struct op_record *r,
                                 const struct op_answers *a, char *why, size_t size)
{
    struct asker asker = {.look = k};
    char text[OP_TXT_MAX] = "", detail[300];

    for (size_t i = 0; i < a->count && text[0] == '\0'; i++) {
        if (op_zone_is_ours(r, a->items[i])) {
            op_txt_join(a->items[i], text, sizeof(text));
        }
    }
    for (size_t i = 0; i < k->zone.egress_count; i++) {
        enum op_spf s = op_spf_check(text, k->domain, k->zone.egress[i], ask, &asker,
                                     detail, sizeof(detail));
        if (s == OP_SPF_TEMPERROR) {
            snprintf(why, size, "a domain that it includes does not answer");
            return OP_UNKNOWN;
        }
        if (s != OP_SPF_PASS) {
            snprintf(why, size, "mail from %s gets \"%s\"%s%s", k->zone.egress[i],
                     op_spf_name(s), detail[0] != '\0' ? ": " : "", detail);
            return OP_WRONG;
        }
    }
    return OP_RIGHT;
}

/* ---- one set at one server ---- */

/* Do the name's addresses, behind whatever chain of aliases, equal the domain's? A web
 * form may offer no CNAME, or the name may be an alias of an alias. */
static bool same_addresses(const struct op_look *k, const struct op_server *server,
                           const char *name)
{
    bool any = false;

    for (size_t i = 0; i < k->zone.count; i += op_zone_set(&k->zone, i)) {
        const struct op_record *r = &k->zone.items[i];
        char why[OP_WHY_MAX];
        struct op_answers a;
        struct cm_err ignored;
        if (strcmp(r->type, "A") != 0 && strcmp(r->type, "AAAA") != 0) {
            continue;
        }
        int rc = op_resolve(server, name, r->type, &a, &ignored);
        any = rc == 0 && op_zone_judge(&k->zone, i, (const char *const *)a.items,
                                       a.count, why, sizeof(why)) == OP_RIGHT;
        op_answers_clear(&a);
        if (!any) {
            return false;
        }
    }
    return any;
}

/* NULL adds nothing. */
static void append(char *out, size_t size, const char *text)
{
    size_t n = strlen(out);

    if (text != NULL) {
        snprintf(out + n, size - n, "%s%s", n > 0 ? "; " : "", text);
    }
}

/* Which address is no gateway, and which gateway is not there. */
static void explain_addresses(const struct op_record *set, size_t n,
                              const struct op_answers *a, char *why, size_t size)
{
    char text[128];

    for (size_t i = 0; i < a->count; i++) {
        bool ours = false;
        for (size_t j = 0; j < n; j++) {
            ours |= op_zone_serves(&set[j], a->items[i]);
        }
        snprintf(text, sizeof(text), "%.60s is no gateway", a->items[i]);
        append(why, size, ours ? NULL : text);
    }
    for (size_t j = 0; j < n; j++) {
        bool there = false;
        for (size_t i = 0; i < a->count; i++) {
            there |= op_zone_serves(&set[j], a->items[i]);
        }
        snprintf(text, sizeof(text), "%.60s is missing", set[j].data);
        append(why, size, there ? NULL : text);
    }
}

/* An alias has no records beside it (RFC 2181 10.1, 10.3). */
static bool apex_alias(const struct op_look *k, const struct op_record *r,
                       const struct op_answers *a)
{
    size_t n = strlen(k->domain);
    return a->alias[0] != '\0' && strncasecmp(r->name, k->domain, n) == 0 &&
           strcmp(r->name + n, ".") == 0 && strcmp(r->type, "CNAME") != 0;
}

int op_look_at(const struct op_look *k, const struct op_server *server, size_t first,
               struct op_finding *f, struct op_answers *a, struct cm_err *err)
{
    const struct op_record *r = &k->zone.items[first];

    *f = (struct op_finding){
        .first = first, .n = op_zone_set(&k->zone, first), .ttl_s = -1};
    if (op_resolve(server, r->name, r->type, a, err) != 0) {
        return -1;
    }
    f->ttl_s = a->ttl_s;
    f->verdict = op_zone_judge(&k->zone, first, (const char *const *)a->items, a->count,
                               f->published, sizeof(f->published));
    if (apex_alias(k, r, a)) {
        f->verdict = OP_WRONG;
        snprintf(f->why, sizeof(f->why),
                 "%.250s is an alias (CNAME) of %.250s; a name that has mail needs "
                 "records of its own",
                 r->name, a->alias);
    } else if (op_zone_is_spf(r) && f->verdict == OP_RIGHT) {
        f->verdict = judge_spf(k, r, a, f->why, sizeof(f->why));
    } else if (op_zone_is_spf(r) && f->verdict == OP_WRONG) {
        snprintf(f->why, sizeof(f->why), "there are several; receivers then take none");
    } else if (f->verdict != OP_RIGHT && strcmp(r->type, "CNAME") == 0) {
        bool same = same_addresses(k, server, r->name) ||
                    (a->count > 0 && same_addresses(k, &k->resolver, r->name));
        f->verdict = same ? OP_RIGHT : f->verdict;
        if (f->verdict == OP_WRONG) {
            snprintf(f->why, sizeof(f->why),
                     "it does not lead to the addresses of %.250s", k->domain);
        }
    } else if (f->verdict == OP_WRONG && r->type[0] == 'A') {
        explain_addresses(r, f->n, a, f->why, sizeof(f->why));
    }
    return 0;
}

/* ---- one set everywhere ---- */

/* The other half of FCrDNS: the name leads to the address. Reverse records stand in the
 * order of zone.egress. */
static bool leads_back(const struct op_look *k, const struct op_finding *f,
                       struct op_answers *a)
{
    size_t at = 0;
    struct cm_err ignored;
    char *name = cm_asprintf("%s.", k->domain);

    for (size_t i = 0; i < f->first; i++) {
        at += strcmp(k->zone.items[i].type, OP_REVERSE) == 0;
    }
    const char *address = k->zone.egress[at];
    const struct op_record want = {.type = strchr(address, ':') != NULL ? "AAAA" : "A",
                                   .data = cm_strdup(address)};
    bool found = op_resolve(&k->resolver, name, want.type, a, &ignored) != 0;
    for (size_t i = 0; i < a->count; i++) {
        found |= op_zone_serves(&want, a->items[i]);
    }
    free(want.data);
    free(name);
    return found;
}

void op_look_forward(const struct op_look *k, struct op_finding *f)
{
    struct op_answers a = {.count = 0};

    if (f->verdict == OP_RIGHT && !k->zone.follows && !leads_back(k, f, &a)) {
        f->verdict = OP_WRONG;
        snprintf(f->why, sizeof(f->why), "it names %s, which does not lead back to it",
                 k->domain);
    }
    op_answers_clear(&a);
}

/* Is the address set of that family right, or only judged later? What is wrong there is
 * said there. */
static bool forward_is_right(const struct op_look *k, const struct op_finding *reverse)
{
    bool v6 = strstr(k->zone.items[reverse->first].name, ".ip6.arpa") != NULL;

    for (size_t i = 0; i < k->count && k->findings[i].first < reverse->first; i++) {
        const struct op_record *r = &k->zone.items[k->findings[i].first];
        if (strcmp(r->type, v6 ? "AAAA" : "A") == 0) {
            return k->findings[i].verdict == OP_RIGHT;
        }
    }
    return true;
}

/* Not in the zone of these servers. A resolver that cannot tell is no fault of ours. */
static void judge_reverse(const struct op_look *k, struct op_finding *f)
{
    struct op_answers a;
    struct cm_err err;

    if (op_look_at(k, &k->resolver, f->first, f, &a, &err) != 0) {
        f->verdict = OP_UNKNOWN;
        snprintf(f->why, sizeof(f->why), "%.900s", err.text);
    }
    op_answers_clear(&a);
    if (strcmp(k->zone.items[f->first].type, OP_REVERSE) == 0 &&
        forward_is_right(k, f)) {
        op_look_forward(k, f);
    }
}

struct tally {
    size_t right, stale_bad, bad, silent;
    struct op_finding worst; /* of one that is not stale, if there is any */
    char where[OP_WHY_MAX];
};

static void count_server(struct tally *t, const struct op_authority *s,
                         const struct op_finding *f)
{
    char text[420];

    if (f->verdict == OP_RIGHT) {
        t->right++;
        return;
    }
    if (t->bad == 0 && (t->stale_bad == 0 || !s->stale)) {
        t->worst = *f;
    }
    t->bad += !s->stale;
    t->stale_bad += s->stale;
    snprintf(text, sizeof(text),
             s->stale ? "%s (%s) has an old serial, %u" : "not on %s (%s)", s->at.name,
             s->at.address, s->serial);
    append(t->where, sizeof(t->where), text);
}

static void judge_authorities(const struct op_look *k, struct op_finding *f,
                              struct tally *t)
{
    for (size_t i = 0; i < k->server_count; i++) {
        const struct op_authority *s = &k->servers[i];
        struct op_finding here;
        struct op_answers a;
        struct cm_err err;
        if (!s->answers) {
            continue;
        }
        if (op_look_at(k, &s->at, f->first, &here, &a, &err) == 0) {
            count_server(t, s, &here);
        } else {
            t->silent++;
            append(t->where, sizeof(t->where), err.text);
        }
        op_answers_clear(&a);
    }
}

static void weigh(const struct op_look *k, struct op_finding *f, const struct tally *t)
{
    char text[OP_WHY_MAX + 64];

    if (t->bad == 0 && t->stale_bad == 0) {
        f->verdict = t->right > 0 ? OP_RIGHT : OP_UNKNOWN;
        snprintf(f->why, sizeof(f->why), "%s", t->right > 0 ? "" : t->where);
        return;
    }
    *f = t->worst;
    if (t->right > 0) {
        snprintf(text, sizeof(text), "right on %zu of %zu servers; %s", t->right,
                 t->right + t->bad + t->stale_bad, t->where);
        append(f->why, sizeof(f->why), text);
        f->verdict = t->bad == 0                ? OP_NOT_YET
                     : f->verdict == OP_MISSING ? OP_WRONG
                                                : f->verdict;
    }
    (void)k;
}

/* The servers have it; a cache may not. */
static void judge_visible(const struct op_look *k, struct op_finding *f)
{
    struct op_finding here;
    struct op_answers a;
    struct cm_err err;

    if (op_look_at(k, &k->resolver, f->first, &here, &a, &err) == 0 &&
        (here.verdict == OP_MISSING || here.verdict == OP_WRONG)) {
        *f = here;
        f->verdict = OP_NOT_YET;
        if (here.ttl_s >= 0) {
            snprintf(f->why, sizeof(f->why),
                     "the servers have it, a resolver keeps what was there for %lld s",
                     (long long)here.ttl_s);
        } else {
            snprintf(f->why, sizeof(f->why),
                     "the servers have it, a resolver does not show it yet");
        }
    }
    op_answers_clear(&a);
}

static void judge_set(const struct op_look *k, struct op_finding *f)
{
    struct tally t = {.right = 0};

    if (strcmp(k->zone.items[f->first].type, OP_REVERSE) == 0) {
        judge_reverse(k, f);
        return;
    }
    if (op_look_answering(k) == 0) {
        judge_reverse(k, f); /* a resolver is all there is */
        return;
    }
    judge_authorities(k, f, &t);
    weigh(k, f, &t);
    if (f->verdict == OP_RIGHT) {
        judge_visible(k, f);
    }
}

int op_look_judge(struct op_look *k, struct cm_err *err)
{
    size_t unknown = 0;

    free(k->findings);
    k->findings = cm_calloc(k->zone.count, sizeof(*k->findings));
    k->count = 0;
    for (size_t i = 0; i < k->zone.count; i += k->findings[k->count - 1].n) {
        struct op_finding *f = &k->findings[k->count++];
        *f = (struct op_finding){.first = i, .n = op_zone_set(&k->zone, i)};
        judge_set(k, f);
        f->first = i;
        f->n = op_zone_set(&k->zone, i);
        f->ttl_s = f->verdict == OP_NOT_YET ? f->ttl_s : -1;
        unknown += f->verdict == OP_UNKNOWN;
    }
    if (unknown == k->count && k->count > 0) {
        return cm_err_set(err, CM_ERR_RETRY, "nobody answers: %.800s",
                          k->findings[0].why);
    }
    return 0;
}

size_t op_look_answering(const struct op_look *k)
{
    size_t n = 0;

    for (size_t i = 0; i < k->server_count; i++) {
        n += k->servers[i].answers;
    }
    return n;
}

size_t op_look_bad(const struct op_look *k, bool required)
{
    size_t n = 0;

    for (size_t i = 0; i < k->count; i++) {
        enum op_verdict v = k->findings[i].verdict;
        n += v != OP_RIGHT && v != OP_NOT_YET &&
             k->zone.items[k->findings[i].first].required == required;
    }
    return n;
}

void op_look_policies(struct op_look *k)
{
    bool wanted = false;

    for (size_t i = 0; i < k->zone.count; i++) {
        wanted |= strncmp(k->zone.items[i].name, "_mta-sts.", 9) == 0;
    }
    for (size_t i = 0; wanted && i < k->zone.count; i++) {
        const struct op_record *r = &k->zone.items[i];
        if (strcmp(r->type, "A") == 0 || strcmp(r->type, "AAAA") == 0) {
            struct op_policy *p = &k->policies[k->policy_count++];
            snprintf(p->address, sizeof(p->address), "%s", r->data);
            p->tried = op_reach_route(r->data);
            if (p->tried) {
                p->right = op_policy_check(k->domain, r->data, p->why, sizeof(p->why));
            } else {
                snprintf(p->why, sizeof(p->why), "no way to it from this machine");
            }
        }
    }
}

void op_look_clear(struct op_look *k)
{
    free(k->findings);
    k->findings = NULL;
    k->count = 0;
    op_zone_clear(&k->zone);
}
