/* chatops dns: what has to be published, and whether it is. */
#include "dns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "acme.h"
#include "answer.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "say.h"
#include "txt.h"

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
    char text[OP_TXT_MAX], id[OP_TXT_MAX];
    char *name = cm_asprintf("_mta-sts.%s.", domain);
    time_t now = (time_t)(cm_now_wall_ms() / 1000);
    struct tm tm;

    strftime(out, size, "%Y%m%d%H%M", localtime_r(&now, &tm));
    int rc = op_resolve(&resolver, name, "TXT", &a, &ignored);
    for (size_t i = 0; rc == 0 && i < a.count; i++) {
        op_txt_join(a.items[i], text, sizeof(text));
        op_txt_tag(text, "id", id, sizeof(id));
        size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "0123456789");
        if (op_txt_is(text, "v=STSv1") && n > 0 && n < size && id[n] == '\0') {
            memcpy(out, id, n + 1);
        }
    }
    op_answers_clear(&a);
    free(name);
}

static int wanted_zone(struct op_cluster *c, struct op_zone *zone_r, struct cm_err *err)
{
    struct op_zone_input in = {.conf = &c->conf, .acme_account = "", .mta_sts_id = ""};
    struct op_acme_account account = {.url = ""};
    char id[40] = "", *key;

    if (read_dkim(c, &key, err) != 0) {
        return -1;
    }
    if (c->conf.tls_mode == CM_TLS_ACME) {
        mta_sts_id(c->conf.mail_domain, id, sizeof(id));
        if (op_acme_account(&c->nodes[0].host, &account, err) != 0) {
            free(key);
            return -1;
        }
        in.acme_account = account.url;
        in.acme_issuer = account.issuer;
        in.mta_sts_id = id;
    }
    in.dkim_key = key;
    op_zone_build(&in, zone_r);
    free(key);
    return 0;
}

/* ---- what is written ---- */

static int write_zone(const struct op_cli *cli, const struct op_zone *zone,
                      struct cm_err *err)
{
    char *text = op_zone_text(zone);
    int rc = 0;

    if (cli->json) {
        op_answer(json_pack("{s:s, s:s}", "zonefile", cli->zonefile, "zone", text));
    }
    if (strcmp(cli->zonefile, "-") == 0) {
        if (!cli->json) {
            fputs(text, stdout);
        }
    } else {
        rc = cm_file_replace(cli->zonefile, text, strlen(text), 0644, err);
        if (rc == 0) {
            op_say(OP_GREEN, "DNS records successfully written to: %s", cli->zonefile);
        }
    }
    free(text);
    return rc;
}

/* Which part of a name is the zone only DNS knows. */
static int write_form(const struct op_cli *cli, const struct op_look *look)
{
    const struct op_server resolver = {.name = "resolver"};
    struct op_servers servers;
    struct cm_err err;
    char zone[256] = "";

    if (op_resolve_servers(&resolver, look->domain, &servers, zone, &err) != 0 ||
        zone[0] == '\0' || strchr(zone, '.') == zone + strlen(zone) - 1) {
        snprintf(zone, sizeof(zone), "%s.", look->domain);
    }
    char *text = cli->json ? op_zone_form_json(&look->zone, zone)
                           : op_zone_form(&look->zone, zone);
    if (cli->json) {
        op_answer(json_loads(text, 0, NULL));
    } else {
        fputs(text, stdout);
    }
    free(text);
    return OP_EXIT_OK;
}

/* ---- the verb ---- */

static int check(const struct op_cluster *c, struct op_look *look, struct cm_err *err)
{
    struct op_dns_primary primary;
    int named = op_dns_primary(c, false, &primary, err);

    if (named < 0 ||
        op_look_servers(look, named == 1 ? &primary.server : NULL, err) != 0) {
        return -1;
    }
    if (c->cli->apply) {
        return op_dns_apply(c, look, err);
    }
    if (op_look_judge(look, err) != 0) {
        return -1;
    }
    op_look_policies(look);
    return op_dns_say(c->cli, look);
}

static int carry_out(struct op_cluster *c, struct op_look *look, struct cm_err *err)
{
    const struct op_cli *cli = c->cli;

    if (cli->zonefile != NULL) {
        return write_zone(cli, &look->zone, err);
    }
    return cli->form ? write_form(cli, look) : check(c, look, err);
}

int op_dns(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    struct op_look look = {.resolver = {.name = "resolver of /etc/resolv.conf"}};
    int rc = -1;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    look.domain = c.conf.mail_domain;
    if (c.conf.is_ip) {
        op_say(OP_PLAIN, "[WARNING] %s is not a domain, skipping DNS checks.",
               c.conf.mail_domain);
        rc = OP_EXIT_OK;
    } else if (wanted_zone(&c, &look.zone, err) == 0) {
        rc = carry_out(&c, &look, err);
    }
    op_look_clear(&look);
    op_cluster_clear(&c);
    return rc;
}
