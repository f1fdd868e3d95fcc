/* chatops status: one question to the store, one to each gateway that does not report,
 * and a list of everything that is wrong. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "certs.h"
#include "cli.h"
#include "cluster.h"
#include "common/buf.h"
#include "common/mem.h"
#include "say.h"
#include "status_budget.h"
#include "status_heal.h"

#define REPORT_LATE_MS   30000
#define HANDSHAKE_LATE_S 200 /* WireGuard shakes hands every two minutes */
#define QUEUE_LONG       1000
#define PUSH_LATE_S      300
#define WRONG_MAX        32

struct report {
    const struct op_cluster *c;
    json_t *cluster;  /* what "ctl status" said; NULL when it does not answer */
    json_t *units;    /* {name: state} */
    json_t *packages; /* {name: version} */
    long long queue;
    bool no_dkim_key;
    long long push_oldest_s, push_success_s; /* since then; -1: not known */
    char invite[600]; /* of the echo bot; "" when there is none, or none yet */
    json_t *plugins;  /* {name: what dovecot-plugin status said} */
    json_t *runs;     /* {unit: systemd's Result of what a timer last started} */
    struct cm_buf certificate; /* as strangers see it; op_certs_line */
    char *wrong[WRONG_MAX];
    size_t wrong_count;
};

static void wrong(struct report *r, const char *fmt, ...) CM_PRINTF(2, 3);

static void wrong(struct report *r, const char *fmt, ...)
{
    struct cm_buf b;
    va_list ap;

    if (r->wrong_count == WRONG_MAX) {
        return;
    }
    cm_buf_init(&b, 2048);
    va_start(ap, fmt);
    cm_buf_vfmt(&b, fmt, ap);
    va_end(ap);
    r->wrong[r->wrong_count++] = cm_buf_steal(&b);
}

/* ---- asking ---- */

static const char store_script[] =
    "for u in $1; do echo unit $u $(systemctl is-active $u); done\n"
    "for u in chatmail-expire.service chatmail-fsreport.service"
    " chatmail-clock.service; do"
    " echo run $u $(systemctl show -P Result $u); done\n"
    "echo signer $(systemctl show -P StatusText chatmail-filter-out.service)\n"
    "echo queue $(postqueue -j 2>/dev/null | wc -l)\n"
    "r() { redis-cli -s /run/redis/redis-server.sock --raw \"$@\" 2>/dev/null; }\n"
    "ago() { case $1 in ''|*[!0-9]*) echo -1;;"
    " *) echo $(($(date +%s) - $1 / $2));; esac; }\n"
    "echo push $(ago \"$(r zrange push:age 0 0 withscores | tail -n1)\" 1000000)"
    " $(ago \"$(r get push:last)\" 1000)\n"
    "for p in idle push; do echo plugin chatmail_$p"
    " $(/usr/lib/portico/dovecot-plugin status $p 2>&1 | tail -n1); done\n"
    "sed -n '1s/^/invite echo /p' /var/lib/chatmail-echo/invite-link.txt 2>/dev/null\n"
    "dpkg-query -W -f 'package ${Package} ${Version}\\n' portico-store postfix"
    " dovecot-core nginx postgresql-15 redis-server 2>/dev/null\n"
    "chatmail-cluster ctl status 2>/dev/null | sed 's/^/cluster /'; true";

static void take_line(struct report *r, char *line)
{
    char *save = NULL;
    const char *kind = strtok_r(line, " ", &save);
    const char *name = strtok_r(NULL, " ", &save);
    const char *value = strtok_r(NULL, "", &save);

    if (kind == NULL || name == NULL) {
        return;
    }
    if (strcmp(kind, "queue") == 0) {
        r->queue = strtoll(name, NULL, 10);
    } else if (value == NULL) {
        return;
    } else if (strcmp(kind, "signer") == 0) {
        r->no_dkim_key = strcmp(name, "no") == 0; /* "no DKIM key for ..." */
    } else if (strcmp(kind, "push") == 0) {
        r->push_oldest_s = strtoll(name, NULL, 10);
        r->push_success_s = strtoll(value, NULL, 10);
    } else if (strcmp(kind, "unit") == 0) {
        json_object_set_new(r->units, name, json_string(value));
    } else if (strcmp(kind, "package") == 0) {
        json_object_set_new(r->packages, name, json_string(value));
    } else if (strcmp(kind, "invite") == 0) {
        snprintf(r->invite, sizeof(r->invite), "%.599s", value);
    } else if (strcmp(kind, "run") == 0) {
        json_object_set_new(r->runs, name, json_string(value));
    } else if (strcmp(kind, "plugin") == 0) {
        json_object_set_new(r->plugins, name, json_string(value));
    }
}

static void take_answer(struct report *r, char *text)
{
    char *save = NULL;

    for (char *l = strtok_r(text, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        if (strncmp(l, "cluster ", 8) == 0) {
            json_decref(r->cluster);
            r->cluster = json_loads(l + 8, 0, NULL);
        } else {
            take_line(r, l);
        }
    }
}

static int ask_store(struct report *r, struct op_node *store, struct cm_err *err)
{
    struct cm_buf units;
    char *said;

    cm_buf_init(&units, 4096);
    for (const struct op_unit *u = store->units; u->name != NULL; u++) {
        cm_buf_fmt(&units, "%s ", u->name);
    }
    struct op_cmd cmd = {
        .script = store_script, .args = {units.data}, .repeatable = true};
    int rc = op_host_run(&store->host, &cmd, &said, err);
    cm_buf_clear(&units);
    if (rc != 0) {
        return -1;
    }
    take_answer(r, said);
    free(said);
    return 0;
}

/* ---- judging ---- */

static long long number_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_integer(v) ? (long long)json_integer_value(v) : -1;
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

static const json_t *find_report(const struct report *r, const char *name)
{
    json_t *list = json_object_get(r->cluster, "gateways"), *g;
    size_t i;

    json_array_foreach(list, i, g)
    {
        if (strcmp(text_of(g, "name"), name) == 0) {
            return g;
        }
    }
    return NULL;
}

/* A gateway that does not report is asked directly: is it the tunnel, or the machine?
 */
static void judge_silent(struct report *r, struct op_node *node)
{
    struct cm_err err;
    char *said;

    if (node->skipped) {
        wrong(r, "%s does not report, and has no ssh to be asked by", node->host.name);
        return;
    }
    if (op_host_ask(&node->host,
                    "for u in chatmail-gateway.service chatmail-tunnel@wg0.service; do"
                    " echo $u $(systemctl is-active $u); done | grep -v ' active$' ||"
                    " echo its daemons run: is UDP to it let through?",
                    &said, &err) != 0) {
        wrong(r, "%s does not report, and %s", node->host.name, err.text);
        return;
    }
    said[strcspn(said, "\n")] = '\0';
    wrong(r, "%s does not report (%s)", node->host.name, said);
    free(said);
}

static void judge_agentless(struct report *r, const struct op_node *node,
                            const json_t *g)
{
    if (strcmp(text_of(g, "mode"), cm_mode_name(node->gateway->mode)) != 0) {
        wrong(r, "%s is published as %s, chatmail.ini says %s; run: chatops run",
              node->host.name, text_of(g, "mode"), cm_mode_name(node->gateway->mode));
    }
    if (strcmp(text_of(g, "health"), "up") != 0) {
        wrong(r, "%s (without agent) is %s: %s", node->host.name, text_of(g, "health"),
              text_of(g, "health_reason"));
    }
}

static void judge_gateway(struct report *r, struct op_node *node)
{
    const char *name = node->host.name, *mode = cm_mode_name(node->gateway->mode);
    const json_t *g = find_report(r, name);
    long long age = number_of(g, "report_age_ms"),
              shake = number_of(g, "handshake_age_s");

    if (g == NULL) {
        wrong(r, "%s is not part of the published state; run: chatops run", name);
        return;
    }
    if (op_heal_woken_wrong(g)[0] != '\0') {
        wrong(r, "%s: when it fell silent phones were not woken: %s", name,
              op_heal_woken_wrong(g));
    }
    if (json_is_false(json_object_get(g, "agent"))) {
        judge_agentless(r, node, g);
        return;
    }
    if (age < 0 || age > REPORT_LATE_MS) {
        judge_silent(r, node);
        return;
    }
    if (number_of(g, "applied_epoch") != number_of(r->cluster, "epoch")) {
        wrong(r, "%s is at epoch %lld", name, number_of(g, "applied_epoch"));
    }
    if (strcmp(text_of(g, "mode"), mode) != 0) {
        wrong(r, "%s is published as %s, chatmail.ini says %s; run: chatops run", name,
              text_of(g, "mode"), mode);
    }
    if (shake > HANDSHAKE_LATE_S) {
        wrong(r, "%s: last WireGuard handshake %lld s ago", name, shake);
    }
    if (strcmp(text_of(g, "health"), "impaired") == 0) {
        wrong(r, "%s is impaired: %s", name, text_of(g, "health_reason"));
    }
    if (text_of(g, "error")[0] != '\0') {
        wrong(r, "%s: %s", name, text_of(g, "error"));
    }
    char budget[OP_BUDGET_TEXT];
    if (op_status_budget(g, budget)) {
        wrong(r, "%s", budget);
    }
    if (strcmp(text_of(g, "egress"), "down") == 0) {
        wrong(r, "%s: no mail can leave through it", name);
    }
}

static bool says(const struct report *r, const char *plugin, const char *state)
{
    return strncmp(text_of(r->plugins, plugin), state, strlen(state)) == 0;
}

static void judge_plugins(struct report *r)
{
    if (!says(r, "chatmail_idle", "loaded: ")) {
        wrong(r, "Dovecot plugin chatmail_idle: %s; clients are told late",
              text_of(r->plugins, "chatmail_idle"));
    }
    /* Lua does the same, only slower. */
    if (!says(r, "chatmail_push", "loaded: ") && !says(r, "chatmail_push", "lua: ")) {
        wrong(r, "Dovecot plugin chatmail_push: %s; phones are not woken up",
              text_of(r->plugins, "chatmail_push"));
    }
}

/* What no unit in the list shows: its timer is active all the same. */
static void judge_runs(struct report *r)
{
    const char *unit;
    json_t *result;

    json_object_foreach(r->runs, unit, result)
    {
        if (strcmp(json_string_value(result), "success") != 0) {
            wrong(r,
                  "the last run of %s failed (%s); see: journalctl -u %s; when that is "
                  "mended: systemctl start %s",
                  unit, json_string_value(result), unit, unit);
        }
    }
}

static void judge(struct report *r)
{
    const char *name;
    json_t *state;

    json_object_foreach(r->units, name, state)
    {
        if (strcmp(json_string_value(state), "active") != 0) {
            wrong(r, "%s is %s; see: journalctl -u %s", name, json_string_value(state),
                  name);
        }
    }
    if (json_object_get(r->packages, "portico-store") == NULL) {
        wrong(r, "the store has no portico-store; run: chatops run");
    }
    judge_plugins(r);
    judge_runs(r);
    if (r->no_dkim_key) {
        wrong(r, "all outgoing mail is put off: chatmail-filter has no DKIM key; see: "
                 "journalctl -u chatmail-filter-out; run: chatops run");
    }
    if (r->queue > QUEUE_LONG) {
        wrong(r, "%lld messages wait in the queue", r->queue);
    }
    if (r->push_oldest_s > PUSH_LATE_S && r->push_success_s > PUSH_LATE_S) {
        wrong(r,
              "phones are not woken up: no notification got through for %lld s; see: "
              "journalctl -u chatmail-push",
              r->push_success_s);
    }
    for (size_t i = 0; i < r->c->conf.unused_count; i++) {
        wrong(r, "%s means nothing: %s", r->c->cli->config, r->c->conf.unused[i]);
    }
    if (r->cluster == NULL) {
        wrong(r, "chatmail-cluster does not answer on the store");
        return;
    }
    if (text_of(r->cluster, "refused")[0] != '\0') {
        wrong(r, "the newest desired state is refused (%s); run: chatops run",
              text_of(r->cluster, "refused"));
    }
    for (size_t i = 1; i < r->c->node_count; i++) {
        judge_gateway(r, &r->c->nodes[i]);
    }
}

static void say_wrong(void *ctx, const char *text)
{
    wrong(ctx, "%s", text);
}

/* ---- saying ---- */

static const char *or_dash(long long n, const char *unit, char *out, size_t size)
{
    if (n < 0) {
        snprintf(out, size, "-");
    } else {
        snprintf(out, size, "%lld%s", n, unit);
    }
    return out;
}

static void say_gateway(const struct report *r, const struct op_node *node)
{
    const json_t *g = find_report(r, node->host.name);
    char epoch[24], shake[24], flows[24], words[CM_ADDRESSES_MAX][64];
    size_t n = cm_conf_words(node->gateway->addresses, words, CM_ADDRESSES_MAX);

    op_say(OP_PLAIN, "  %-12.12s %-6s %7s %9s %7s  %-7s %s", node->host.name,
           g != NULL ? text_of(g, "mode") : "-",
           or_dash(number_of(g, "applied_epoch"), "", epoch, sizeof(epoch)),
           or_dash(number_of(g, "handshake_age_s"), " s", shake, sizeof(shake)),
           or_dash(number_of(g, "flows"), "", flows, sizeof(flows)),
           g != NULL ? text_of(g, "egress") : "-", n > 0 ? words[0] : "");
    for (size_t i = 1; i < n; i++) {
        op_say(OP_PLAIN, "%58s%s", "", words[i]);
    }
}

static void say_text(const struct report *r)
{
    const struct cm_conf *conf = &r->c->conf;
    bool privacy = conf->privacy_postal != NULL && conf->privacy_mail != NULL;
    const char *name;
    json_t *value;

    op_say(OP_GREEN, "chatmail domain: %s", conf->mail_domain);
    op_say(privacy ? OP_GREEN : OP_RED, "%s",
           privacy ? "privacy settings: present" : "no privacy settings");
    op_say(OP_PLAIN, "epoch %lld, egress %s, %lld in the queue",
           number_of(r->cluster, "epoch"), cm_egress_name(conf->store.egress),
           r->queue);
    op_say(OP_PLAIN, "certificate: %s", r->certificate.data);
    if (conf->gateway_count > 0) {
        op_say(OP_PLAIN, "\n  %-12s %-6s %7s %9s %7s  %-7s %s", "gateway", "mode",
               "epoch", "handshake", "flows", "egress", "addresses");
    }
    for (size_t i = 1; i < r->c->node_count; i++) {
        say_gateway(r, &r->c->nodes[i]);
    }
    op_heal_say(r->cluster, conf);
    op_say(OP_PLAIN, "\n  service on the store");
    json_object_foreach(r->units, name, value)
    {
        bool good = strcmp(json_string_value(value), "active") == 0;
        op_say(good ? OP_PLAIN : OP_RED, "  %-34s %s", name, json_string_value(value));
    }
    op_say(OP_PLAIN, "\n  last run on the store");
    json_object_foreach(r->runs, name, value)
    {
        bool good = strcmp(json_string_value(value), "success") == 0;
        op_say(good ? OP_PLAIN : OP_RED, "  %-34s %s", name, json_string_value(value));
    }
    op_say(OP_PLAIN, "\n  package on the store");
    json_object_foreach(r->packages, name, value)
    {
        op_say(OP_PLAIN, "  %-34s %s", name, json_string_value(value));
    }
    op_say(OP_PLAIN, "\n  Dovecot plugin on the store");
    json_object_foreach(r->plugins, name, value)
    {
        op_say(OP_PLAIN, "  %-34s %s", name, json_string_value(value));
    }
    if (conf->store.echo_core[0] != '\0') {
        op_say(OP_PLAIN, "\n  echo bot: %s",
               r->invite[0] != '\0' ? r->invite : "no invite link yet");
    }
    puts("");
    for (size_t i = 0; i < r->wrong_count; i++) {
        op_say(OP_RED, "wrong: %s", r->wrong[i]);
    }
    if (r->wrong_count == 0) {
        op_say(OP_GREEN, "all is well");
    }
}

static void say_json(const struct report *r)
{
    json_t *list = json_array(), *o;

    for (size_t i = 0; i < r->wrong_count; i++) {
        json_array_append_new(list, json_string(r->wrong[i]));
    }
    o = json_pack(
        "{s:s, s:b, s:O*, s:O, s:O, s:O, s:O, s:I, s:{s:I, s:I}, s:s, s:o, s:o, s:s}",
        "domain", r->c->conf.mail_domain, "ok", r->wrong_count == 0, "cluster",
        r->cluster, "units", r->units, "packages", r->packages, "dovecot_plugins",
        r->plugins, "runs", r->runs, "queue", (json_int_t)r->queue, "push", "oldest_s",
        (json_int_t)r->push_oldest_s, "success_s", (json_int_t)r->push_success_s,
        "echo_invite", r->c->conf.store.echo_core[0] != '\0' ? r->invite : "", "wrong",
        list, "idle_not_told", op_heal_untold_json(&r->c->conf), "certificate",
        r->certificate.data);
    op_answer(o);
}

int op_status(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    struct report r = {.c = &c, .queue = -1, .push_oldest_s = -1, .push_success_s = -1};

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    r.units = json_object();
    r.packages = json_object();
    r.plugins = json_object();
    r.runs = json_object();
    cm_buf_init(&r.certificate, 2048);
    int rc = ask_store(&r, &c.nodes[0], err);
    if (rc == 0) {
        judge(&r);
        op_certs_status(&c, &r.certificate, say_wrong, &r);
        if (cli->json) {
            say_json(&r);
        } else {
            say_text(&r);
        }
        rc = r.wrong_count == 0 ? OP_EXIT_OK : OP_EXIT_FAILED;
    }
    for (size_t i = 0; i < r.wrong_count; i++) {
        free(r.wrong[i]);
    }
    json_decref(r.cluster);
    json_decref(r.units);
    json_decref(r.packages);
    json_decref(r.plugins);
    json_decref(r.runs);
    cm_buf_clear(&r.certificate);
    op_cluster_clear(&c);
    return rc;
}
