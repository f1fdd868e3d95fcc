/* chatops dns --apply: the difference between what is wanted and what the primary has,
 * as one signed update. */
#include <jansson.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "common/clock.h"
#include "common/mem.h"
#include "dns.h"
#include "say.h"

#define SEEN_MS 30000 /* for secondaries to fetch what is new */
#define LOOK_MS 2000

/* ---- the primary ---- */

static int find_address(struct op_dns_primary *p, struct cm_err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int rc = getaddrinfo(p->at.host, NULL, &hints, &list);

    if (rc == 0) {
        rc = getnameinfo(list->ai_addr, list->ai_addrlen, p->server.address,
                         sizeof(p->server.address), NULL, 0, NI_NUMERICHOST);
        freeaddrinfo(list);
    }
    if (rc != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "name server %s: %s", p->at.host,
                          gai_strerror(rc));
    }
    snprintf(p->server.name, sizeof(p->server.name), "%s", p->at.host);
    p->server.port = p->at.port;
    return 0;
}

int op_dns_primary(const struct op_cluster *c, bool key, struct op_dns_primary *p,
                   struct cm_err *err)
{
    const struct op_cli *cli = c->cli;
    const char *server = cli->server != NULL ? cli->server : c->conf.store.dns_server;
    const char *file = cli->key != NULL ? cli->key : c->conf.store.dns_key;

    *p = (struct op_dns_primary){.server = {.name = ""}};
    if (server[0] == '\0') {
        return 0;
    }
    if (dns_primary_parse(server, &p->at, err) != 0) {
        return cm_err_prefix(err, "%s \"%s\"",
                             cli->server != NULL ? "--server" : "dns_server", server);
    }
    if (find_address(p, err) != 0) {
        return -1;
    }
    if (key && file[0] == '\0') {
        return cm_err_set(err, CM_ERR_WORLD,
                          "which key? give --key FILE, or dns_key in [store]");
    }
    return key && dns_key_load(file, &p->key, err) != 0 ? -1 : 1;
}

/* ---- the plan ---- */

static const char *keep(struct op_dns_plan *p, const char *text)
{
    cm_assert(p->text_count < sizeof(p->texts) / sizeof(p->texts[0]));
    return p->texts[p->text_count++] = cm_strdup(text);
}

static int change(struct op_dns_plan *p, bool add, const struct op_record *r,
                  const char *type, const char *data, struct cm_err *err)
{
    if (p->count == DNS_CHANGES_MAX) {
        return cm_err_set(err, CM_ERR_WORLD, "more than %d changes", DNS_CHANGES_MAX);
    }
    struct dns_change *c = &p->items[p->count++];
    *c = (struct dns_change){.add = add, .ttl = (uint32_t)r->ttl};
    c->name = keep(p, r->name);
    c->type = keep(p, type);
    c->data = keep(p, data);
    return 0;
}

static bool served(const struct op_record *set, size_t n, const char *published)
{
    for (size_t i = 0; i < n; i++) {
        if (op_zone_serves(&set[i], published)) {
            return true;
        }
    }
    return false;
}

/* What goes comes first: a CNAME takes nothing beside it. */
static int change_set(struct op_dns_plan *p, const struct op_record *set, size_t n,
                      const struct op_answers *a, struct cm_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < a->count; i++) {
        if (op_zone_is_ours(set, a->items[i]) && !served(set, n, a->items[i])) {
            rc = change(p, false, set, set->type, a->items[i], err);
        }
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        bool there = false;
        for (size_t j = 0; j < a->count; j++) {
            there |= op_zone_serves(&set[i], a->items[j]);
        }
        rc = there ? 0 : change(p, true, &set[i], set[i].type, set[i].data, err);
    }
    return rc;
}

/* Addresses where a CNAME shall be. */
static int clear_for_alias(struct op_dns_plan *p, const struct op_dns_primary *primary,
                           const struct op_record *r, struct cm_err *err)
{
    static const char *const types[] = {"A", "AAAA"};
    int rc = 0;

    for (size_t t = 0; rc == 0 && t < 2; t++) {
        struct op_answers a;
        rc = op_resolve(&primary->server, r->name, types[t], &a, err);
        for (size_t i = 0; rc == 0 && a.alias[0] == '\0' && i < a.count; i++) {
            rc = change(p, false, r, types[t], a.items[i], err);
        }
        op_answers_clear(&a);
    }
    return rc;
}

static bool in_zone(const char *name, const char *zone)
{
    size_t n = strlen(name), z = strlen(zone);
    return n >= z && strcasecmp(name + n - z, zone) == 0 &&
           (n == z || name[n - z - 1] == '.');
}

static int plan_set(const struct op_look *look, const struct op_dns_primary *primary,
                    size_t first, struct op_dns_plan *p, struct cm_err *err)
{
    const struct op_record *r = &look->zone.items[first];
    struct op_finding f;
    struct op_answers a;
    bool alias = strcmp(r->type, "CNAME") == 0;
    int rc = op_look_at(look, &primary->server, first, &f, &a, err);

    if (rc == 0 && f.verdict != OP_RIGHT && a.alias[0] != '\0' && !alias) {
        rc = cm_err_set(err, CM_ERR_WORLD,
                        "%.250s is an alias (CNAME) of %.250s: take that out by hand "
                        "first",
                        r->name, a.alias);
    } else if (rc == 0 && f.verdict != OP_RIGHT) {
        rc = alias ? clear_for_alias(p, primary, r, err) : 0;
        rc = rc == 0 ? change_set(p, r, f.n, &a, err) : -1;
    }
    op_answers_clear(&a);
    return rc;
}

int op_dns_plan(const struct op_look *look, const struct op_dns_primary *primary,
                struct op_dns_plan *p, struct cm_err *err)
{
    int rc = 0;

    *p = (struct op_dns_plan){.count = 0};
    for (size_t i = 0; rc == 0 && i < look->zone.count;
         i += op_zone_set(&look->zone, i)) {
        const struct op_record *r = &look->zone.items[i];
        if (strcmp(r->type, OP_REVERSE) != 0 && in_zone(r->name, primary->at.zone)) {
            rc = plan_set(look, primary, i, p, err);
        }
    }
    return rc;
}

void op_dns_plan_clear(struct op_dns_plan *p)
{
    for (size_t i = 0; i < p->text_count; i++) {
        free(p->texts[i]);
    }
    p->text_count = p->count = 0;
}

/* ---- doing it ---- */

static void say_plan(const struct op_dns_plan *p, const struct op_dns_primary *primary)
{
    op_say(OP_PLAIN, "changes of zone %s at %s:", primary->at.zone, primary->at.host);
    for (size_t i = 0; i < p->count; i++) {
        const struct dns_change *c = &p->items[i];
        char *line =
            c->add ? cm_asprintf("+ %s %u %s %s", c->name, c->ttl, c->type, c->data)
                   : cm_asprintf("- %s %s %s", c->name, c->type, c->data);
        op_print(c->add ? OP_GREEN : OP_RED, line);
        free(line);
    }
}

static void say_json(const struct op_dns_plan *p, const struct op_dns_primary *primary,
                     bool applied)
{
    json_t *list = json_array();

    for (size_t i = 0; i < p->count; i++) {
        const struct dns_change *c = &p->items[i];
        json_array_append_new(list, json_pack("{s:b, s:s, s:s, s:s, s:i}", "add",
                                              c->add, "name", c->name, "type", c->type,
                                              "data", c->data, "ttl", (int)c->ttl));
    }
    json_t *all = json_pack("{s:s, s:s, s:b, s:o}", "zone", primary->at.zone, "server",
                            primary->at.host, "applied", applied, "changes", list);
    op_answer(all);
}

static int confirm(const struct op_cli *cli, struct cm_err *err)
{
    char answer[16];

    if (cli->yes) {
        return 0;
    }
    if (cli->json || !isatty(STDIN_FILENO)) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "nothing was changed: no terminal to ask on; give --yes");
    }
    fputs("make these changes? [y/N] ", stdout);
    fflush(stdout);
    if (fgets(answer, sizeof(answer), stdin) == NULL ||
        (answer[0] != 'y' && answer[0] != 'Y')) {
        return cm_err_set(err, CM_ERR_WORLD, "nothing was changed");
    }
    return 0;
}

/* The primary must have it at once. */
static int verify(const struct op_look *look, const struct op_dns_primary *primary,
                  struct cm_err *err)
{
    struct op_dns_plan left;
    int rc = op_dns_plan(look, primary, &left, err);

    if (rc == 0 && left.count > 0) {
        rc = cm_err_set(err, CM_ERR_WORLD,
                        "%s took the update, but does not show %s %s as it should",
                        primary->at.host, left.items[0].name, left.items[0].type);
    }
    op_dns_plan_clear(&left);
    return rc;
}

/* Secondaries are told by the primary, and fetch. */
static int wait_for_servers(struct op_look *look, struct cm_err *err)
{
    int64_t begin = cm_now_mono_ms();
    bool behind = true;

    while (behind && cm_now_mono_ms() - begin < SEEN_MS) {
        behind = false;
        op_look_probe(look);
        for (size_t i = 0; i < look->server_count; i++) {
            behind |= look->servers[i].stale;
        }
        if (behind) {
            op_progress(cm_now_mono_ms() - begin, "waiting for all name servers");
            nanosleep(&(struct timespec){.tv_sec = LOOK_MS / 1000}, NULL);
        }
    }
    return op_look_judge(look, err);
}

static int carry_out(const struct op_cluster *c, struct op_look *look,
                     const struct op_dns_primary *primary, struct op_dns_plan *plan,
                     struct cm_err *err)
{
    bool json = c->cli->json;

    if (json && (plan->count == 0 || c->cli->dry_run)) {
        say_json(plan, primary, false);
        return OP_EXIT_OK;
    }
    if (plan->count == 0) {
        op_say(OP_GREEN, "zone %s at %s is as it should be; nothing to change",
               primary->at.zone, primary->at.host);
        return OP_EXIT_OK;
    }
    if (!json) {
        say_plan(plan, primary);
    }
    if (c->cli->dry_run) {
        op_say(OP_PLAIN, "nothing was changed (--dry-run)");
        return OP_EXIT_OK;
    }
    if (confirm(c->cli, err) != 0 ||
        dns_update(&primary->at, &primary->key, plan->items, plan->count, err) != 0 ||
        verify(look, primary, err) != 0) {
        return -1;
    }
    if (json) {
        say_json(plan, primary, true);
        return OP_EXIT_OK;
    }
    op_say(OP_GREEN, "%zu changes made, and %s shows them", plan->count,
           primary->at.host);
    if (wait_for_servers(look, err) != 0) {
        return -1;
    }
    return op_dns_say(c->cli, look);
}

int op_dns_apply(const struct op_cluster *c, struct op_look *look, struct cm_err *err)
{
    struct op_dns_primary primary;
    struct op_dns_plan plan = {.count = 0};
    int rc = op_dns_primary(c, true, &primary, err);

    if (rc == 0) {
        rc = cm_err_set(err, CM_ERR_WORLD,
                        "which name server? give --server ADDRESS, or dns_server in "
                        "[store]");
    } else if (rc == 1) {
        rc = dns_find_zone(&primary.at, c->conf.mail_domain, err);
        rc = rc == 0 ? op_dns_plan(look, &primary, &plan, err) : -1;
        rc = rc == 0 ? carry_out(c, look, &primary, &plan, err) : -1;
    }
    op_dns_plan_clear(&plan);
    dns_key_wipe(&primary.key);
    if (rc < 0 && err->kind == CM_ERR_REFUSE) {
        err->kind = CM_ERR_WORLD; /* the server refuses; the line was well */
    }
    return rc;
}
