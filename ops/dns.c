/* chatops dns: what has to be published, and whether it is. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "acme.h"
#include "cli.h"
#include "cluster.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "resolve.h"
#include "say.h"
#include "zone.h"

#define WHY_MAX 1024

/* One set of records and what all servers together say about it. */
struct finding {
    size_t first, n;
    enum op_verdict verdict;
    char why[WHY_MAX];
};

struct check {
    const struct cm_conf *conf;
    struct op_zone zone;
    struct op_servers servers; /* those that answer */
    struct finding *findings;
    size_t count;
};

/* ---- what is wanted ---- */

static int read_dkim(struct op_cluster *c, char **key_r, struct cm_err *err)
{
    static const char script[] =
        "k=/etc/dkimkeys/opendkim.private; [ -s $k ] || exit 0\n"
        "openssl rsa -in $k -pubout -outform DER 2>/dev/null | base64 -w0";
    char *key;

    if (op_host_ask(&c->nodes[0].host, script, &key, err) != 0) {
        return -1;
    }
    if (key[0] == '\0') {
        free(key);
        return cm_err_set(err, CM_ERR_WORLD,
                          "the store has no DKIM key yet; make it with: chatops run");
    }
    *key_r = key;
    return 0;
}

/* A policy keeps its id until it changes; the one published is the one in force. */
static void mta_sts_id(const char *domain, char *out, size_t size)
{
    struct op_server resolver = {.name = "resolver"};
    struct op_answers a = {.count = 0};
    struct cm_err ignored;
    char *name = cm_asprintf("_mta-sts.%s.", domain);
    time_t now = (time_t)(cm_now_wall_ms() / 1000);
    struct tm tm;

    strftime(out, size, "%Y%m%d%H%M", localtime_r(&now, &tm));
    if (op_resolve(&resolver, name, "TXT", &a, &ignored) == 0 && a.count > 0) {
        const char *id = strstr(a.items[0], "id=");
        if (id != NULL) {
            snprintf(out, size, "%.*s", (int)strcspn(id + 3, "\"; "), id + 3);
        }
    }
    op_answers_clear(&a);
    free(name);
}

static int wanted_zone(struct op_cluster *c, struct op_zone *zone_r, char **key_r,
                       struct cm_err *err)
{
    struct op_zone_input in = {.conf = &c->conf, .acme_account = "", .mta_sts_id = ""};
    struct op_acme_account account;
    char id[40] = "";

    if (read_dkim(c, key_r, err) != 0) {
        return -1;
    }
    if (c->conf.tls_mode == CM_TLS_ACME) {
        mta_sts_id(c->conf.mail_domain, id, sizeof(id));
        if (op_acme_account(&c->nodes[0].host, &account, err) != 0) {
            return -1;
        }
        in.acme_account = account.url;
        in.mta_sts_id = id;
    }
    in.dkim_key = *key_r;
    op_zone_build(&in, zone_r);
    return 0;
}

static int write_zone(const struct op_cli *cli, const struct op_zone *zone,
                      struct cm_err *err)
{
    char *text = op_zone_text(zone);
    int rc = 0;

    if (strcmp(cli->zonefile, "-") == 0) {
        fputs(text, stdout);
    } else {
        rc = cm_file_replace(cli->zonefile, text, strlen(text), 0644, err);
        if (rc == 0) {
            op_say(OP_GREEN, "DNS records successfully written to: %s", cli->zonefile);
        }
    }
    free(text);
    return rc;
}

/* ---- what is published ---- */

/* A web form may not offer a CNAME beside a wildcard: the same addresses do as well. */
static enum op_verdict judge_www(const struct check *k, const struct op_server *server,
                                 const char *name, struct cm_err *err)
{
    size_t n, i = 0;
    bool any = false;

    while (i < k->zone.count && (strcmp(k->zone.items[i].type, "A") == 0 ||
                                 strcmp(k->zone.items[i].type, "AAAA") == 0)) {
        struct op_answers a = {.count = 0};
        char why[WHY_MAX];
        if (op_resolve(server, name, k->zone.items[i].type, &a, err) != 0) {
            return OP_MISSING;
        }
        any |= a.count > 0;
        enum op_verdict v = op_zone_judge(&k->zone, i, &n, (const char *const *)a.items,
                                          a.count, why, sizeof(why));
        op_answers_clear(&a);
        if (v != OP_RIGHT) {
            return any ? OP_WRONG : OP_MISSING;
        }
        i += n;
    }
    return i > 0 ? OP_RIGHT : OP_MISSING;
}

static int judge_at(const struct check *k, const struct op_server *server,
                    struct finding *f, struct cm_err *err)
{
    const struct op_record *r = &k->zone.items[f->first];
    struct op_answers a = {.count = 0};

    if (op_resolve(server, r->name, r->type, &a, err) != 0) {
        return -1;
    }
    f->verdict = op_zone_judge(&k->zone, f->first, &f->n, (const char *const *)a.items,
                               a.count, f->why, sizeof(f->why));
    op_answers_clear(&a);
    if (f->verdict == OP_MISSING && strcmp(r->type, "CNAME") == 0 &&
        strncmp(r->name, "www.", 4) == 0) {
        f->verdict = judge_www(k, server, r->name, err);
    }
    return 0;
}

/* Not in the zone of these servers. A resolver that cannot tell is no fault of ours. */
static void judge_reverse(const struct check *k, struct finding *f)
{
    const struct op_server resolver = {.name = "resolver"};
    struct cm_err err;

    if (judge_at(k, &resolver, f, &err) != 0) {
        f->verdict = OP_MISSING;
        snprintf(f->why, sizeof(f->why), "not known, %.900s", err.text);
    }
}

/* All servers must agree; the first that does not is named. */
static int judge_set(const struct check *k, struct finding *f, struct cm_err *err)
{
    struct finding here = *f;
    size_t right = 0;

    if (strcmp(k->zone.items[f->first].type, OP_REVERSE) == 0) {
        judge_reverse(k, f);
        return 0;
    }
    f->verdict = OP_RIGHT;
    for (size_t i = 0; i < k->servers.count; i++) {
        const struct op_server *s = &k->servers.items[i];
        if (judge_at(k, s, &here, err) != 0) {
            return -1;
        }
        f->n = here.n;
        right += here.verdict == OP_RIGHT;
        if (here.verdict != OP_RIGHT && f->verdict == OP_RIGHT) {
            *f = here;
            f->why[sizeof(f->why) - 1] = '\0';
        }
    }
    if (right > 0 && right < k->servers.count) {
        size_t len = strlen(f->why);
        f->verdict = OP_WRONG;
        snprintf(f->why + len, sizeof(f->why) - len, "%s(right on %zu of %zu servers)",
                 len > 0 ? " " : "", right, k->servers.count);
    }
    return 0;
}

/* Keeps the servers that answer and says which do not. */
static int find_servers(struct check *k, struct cm_err *err)
{
    struct op_servers all;
    char *name = cm_asprintf("%s.", k->conf->mail_domain);
    int rc = op_resolve_servers(k->conf->mail_domain, &all, err);

    k->servers.count = 0;
    for (size_t i = 0; rc == 0 && i < all.count; i++) {
        struct op_answers a = {.count = 0};
        struct cm_err why;
        if (op_resolve(&all.items[i], name, "SOA", &a, &why) == 0) {
            k->servers.items[k->servers.count++] = all.items[i];
        } else {
            op_warn("%s; it is left out", why.text);
        }
        op_answers_clear(&a);
    }
    if (rc == 0 && k->servers.count == 0) {
        k->servers.items[k->servers.count++] =
            (struct op_server){.name = "resolver of /etc/resolv.conf"};
    }
    free(name);
    return rc;
}

static int look(struct check *k, struct cm_err *err)
{
    if (find_servers(k, err) != 0) {
        return -1;
    }
    k->findings = cm_calloc(k->zone.count, sizeof(*k->findings));
    for (size_t i = 0; i < k->zone.count; i += k->findings[k->count - 1].n) {
        struct finding *f = &k->findings[k->count++];
        f->first = i;
        f->n = 1;
        if (judge_set(k, f, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- what is said ---- */

static const char *const verdict_names[] = {
    [OP_RIGHT] = "right", [OP_MISSING] = "missing", [OP_WRONG] = "wrong"};

static size_t count_bad(const struct check *k, bool required)
{
    size_t n = 0;

    for (size_t i = 0; i < k->count; i++) {
        n += k->findings[i].verdict != OP_RIGHT &&
             k->zone.items[k->findings[i].first].required == required;
    }
    return n;
}

static void say_bad(const struct check *k, bool required, const char *dkim_key)
{
    for (size_t i = 0; i < k->count; i++) {
        const struct finding *f = &k->findings[i];
        const struct op_record *r = &k->zone.items[f->first];
        if (f->verdict == OP_RIGHT || r->required != required) {
            continue;
        }
        op_say(OP_PLAIN, "; %s%s%s", verdict_names[f->verdict],
               f->why[0] != '\0' ? ", published is: " : "", f->why);
        for (size_t j = 0; j < f->n; j++) {
            char *line = op_zone_line(&r[j]);
            op_say(OP_PLAIN, "%s", line);
            free(line);
        }
        if (strcmp(r->type, OP_REVERSE) == 0) {
            op_say(OP_PLAIN, "; set by whoever rents you the address");
        }
        if (strncmp(r->name, "opendkim.", 9) == 0) {
            char *one = op_zone_dkim_one_line(dkim_key);
            op_say(OP_PLAIN, "; for a web form that wants it in one line:\n%s\n%s",
                   r->name, one);
            free(one);
        }
    }
}

static int say_findings(const struct check *k, const char *dkim_key)
{
    size_t required = count_bad(k, true), recommended = count_bad(k, false);
    char *zone = op_zone_text(&k->zone);

    op_say(OP_PLAIN, "%s", zone);
    free(zone);
    if (required > 0) {
        op_say(OP_RED, "Please set required DNS entries at your DNS provider:");
        say_bad(k, true, dkim_key);
    }
    if (recommended > 0) {
        op_say(OP_YELLOW, "%sWARNING: these recommended DNS entries are not set:",
               required > 0 ? "\n" : "");
        say_bad(k, false, dkim_key);
    }
    if (required + recommended == 0) {
        op_say(OP_GREEN,
               "Great! All your DNS entries are verified and correct "
               "(%zu sets on %zu servers).",
               k->count, k->servers.count);
    }
    return required > 0 ? OP_EXIT_FAILED : OP_EXIT_OK;
}

static int say_json(const struct check *k)
{
    json_t *sets = json_array(), *all;

    for (size_t i = 0; i < k->count; i++) {
        const struct finding *f = &k->findings[i];
        const struct op_record *r = &k->zone.items[f->first];
        json_t *data = json_array();
        for (size_t j = 0; j < f->n; j++) {
            json_array_append_new(data, json_string(r[j].data));
        }
        json_array_append_new(sets, json_pack("{s:s, s:s, s:b, s:s, s:o, s:s*}", "name",
                                              r->name, "type", r->type, "required",
                                              r->required, "verdict",
                                              verdict_names[f->verdict], "wanted", data,
                                              "published", f->why));
    }
    all = json_pack("{s:s, s:b, s:I, s:o}", "domain", k->conf->mail_domain, "ok",
                    count_bad(k, true) == 0, "servers", (json_int_t)k->servers.count,
                    "sets", sets);
    json_dumpf(all, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(all);
    return count_bad(k, true) > 0 ? OP_EXIT_FAILED : OP_EXIT_OK;
}

int op_dns(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    struct check k = {.count = 0};
    char *dkim_key = NULL;
    int rc = -1;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    k.conf = &c.conf;
    if (c.conf.is_ip) {
        op_say(OP_PLAIN, "[WARNING] %s is not a domain, skipping DNS checks.",
               c.conf.mail_domain);
        rc = OP_EXIT_OK;
    } else if (wanted_zone(&c, &k.zone, &dkim_key, err) == 0) {
        if (cli->zonefile != NULL) {
            rc = write_zone(cli, &k.zone, err);
        } else if (look(&k, err) == 0) {
            rc = cli->json ? say_json(&k) : say_findings(&k, dkim_key);
        }
    }
    free(k.findings);
    op_zone_clear(&k.zone);
    free(dkim_key);
    op_cluster_clear(&c);
    return rc;
}
