/* What is wrong, of all that was found out in a round. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"
#include "status_budget.h"
#include "status_heal.h"

#define REPORT_LATE_MS   30000
#define HANDSHAKE_LATE_S 200 /* WireGuard shakes hands every two minutes */
#define QUEUE_LONG       1000
#define PUSH_LATE_S      300
#define DISK_FULL        90 /* percent */
#define TABLE_HIGH       90 /* percent */

long long op_report_number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_integer(v) ? (long long)json_integer_value(v) : -1;
}

const char *op_report_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

const json_t *op_report_gateway(const struct op_report *r, const char *name)
{
    json_t *list = json_object_get(r->cluster, "gateways"), *g;
    size_t i;

    json_array_foreach(list, i, g)
    {
        if (strcmp(op_report_text(g, "name"), name) == 0) {
            return g;
        }
    }
    return NULL;
}

/* A gateway that does not report is asked directly: is it the tunnel, or the machine?
 */
static void judge_silent(struct op_report *r, struct op_node *node)
{
    struct cm_err err;
    char *said;

    if (node->skipped) {
        op_report_wrong(r, "%s does not report, and has no ssh to be asked by",
                        node->host.name);
        return;
    }
    if (op_host_ask(&node->host,
                    "for u in chatmail-gateway.service chatmail-tunnel@wg0.service; do"
                    " echo $u $(systemctl is-active $u); done | grep -v ' active$' ||"
                    " echo its daemons run: is UDP to it let through?",
                    &said, &err) != 0) {
        op_report_wrong(r, "%s does not report, and %s", node->host.name, err.text);
        return;
    }
    said[strcspn(said, "\n")] = '\0';
    op_report_wrong(r, "%s does not report (%s)", node->host.name, said);
    free(said);
}

static void judge_agentless(struct op_report *r, const struct op_node *node,
                            const json_t *g)
{
    if (strcmp(op_report_text(g, "mode"), cm_mode_name(node->gateway->mode)) != 0) {
        op_report_wrong(r,
                        "%s is published as %s, chatmail.ini says %s; run: chatops run",
                        node->host.name, op_report_text(g, "mode"),
                        cm_mode_name(node->gateway->mode));
    }
    if (strcmp(op_report_text(g, "health"), "up") != 0) {
        op_report_wrong(r, "%s (without agent) is %s: %s", node->host.name,
                        op_report_text(g, "health"),
                        op_report_text(g, "health_reason"));
    }
}

/* What the store says of its health is the same in other words. True: it was said. */
static bool judge_table(struct op_report *r, const char *name, const json_t *g)
{
    long long used = op_report_number(g, "table_used"),
              max = op_report_number(g, "table_max");

    if (json_is_true(json_object_get(g, "table_full"))) {
        op_report_wrong(r,
                        "%s: connection table full (%lld of %lld); it refuses new "
                        "connections; see docs/operations.md",
                        name, used, max);
        return true;
    }
    if (max > 0 && used >= max / 100 * TABLE_HIGH) {
        op_report_wrong(r, "%s: connection table %lld %% full (%lld of %lld)", name,
                        used * 100 / max, used, max);
    }
    return false;
}

static void judge_gateway(struct op_report *r, struct op_node *node)
{
    const char *name = node->host.name, *mode = cm_mode_name(node->gateway->mode);
    const json_t *g = op_report_gateway(r, name);
    long long age = op_report_number(g, "report_age_ms"),
              shake = op_report_number(g, "handshake_age_s");

    if (g == NULL) {
        op_report_wrong(r, "%s is not part of the published state; run: chatops run",
                        name);
        return;
    }
    if (op_heal_woken_wrong(g)[0] != '\0') {
        op_report_wrong(r, "%s: when it fell silent phones were not woken: %s", name,
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
    if (op_report_number(g, "applied_epoch") != op_report_number(r->cluster, "epoch")) {
        op_report_wrong(r, "%s is at epoch %lld", name,
                        op_report_number(g, "applied_epoch"));
    }
    if (strcmp(op_report_text(g, "mode"), mode) != 0) {
        op_report_wrong(r,
                        "%s is published as %s, chatmail.ini says %s; run: chatops run",
                        name, op_report_text(g, "mode"), mode);
    }
    if (shake > HANDSHAKE_LATE_S) {
        op_report_wrong(r, "%s: last WireGuard handshake %lld s ago", name, shake);
    }
    if (!judge_table(r, name, g) &&
        strcmp(op_report_text(g, "health"), "impaired") == 0) {
        op_report_wrong(r, "%s is impaired: %s", name,
                        op_report_text(g, "health_reason"));
    }
    if (op_report_text(g, "error")[0] != '\0') {
        op_report_wrong(r, "%s: %s", name, op_report_text(g, "error"));
    }
    char budget[OP_BUDGET_TEXT];
    if (op_status_budget(g, budget)) {
        op_report_wrong(r, "%s", budget);
    }
    if (strcmp(op_report_text(g, "egress"), "down") == 0) {
        op_report_wrong(r, "%s: no mail can leave through it", name);
    }
}

static bool says(const struct op_report *r, const char *plugin, const char *state)
{
    return strncmp(op_report_text(r->plugins, plugin), state, strlen(state)) == 0;
}

static void judge_plugins(struct op_report *r)
{
    if (!says(r, "chatmail_idle", "loaded: ")) {
        op_report_wrong(r, "Dovecot plugin chatmail_idle: %s; clients are told late",
                        op_report_text(r->plugins, "chatmail_idle"));
    }
    /* Lua does the same, only slower. */
    if (!says(r, "chatmail_push", "loaded: ") && !says(r, "chatmail_push", "lua: ")) {
        op_report_wrong(r, "Dovecot plugin chatmail_push: %s; phones are not woken up",
                        op_report_text(r->plugins, "chatmail_push"));
    }
}

/* What no unit in the list shows: its timer is active all the same. */
static void judge_runs(struct op_report *r)
{
    const char *unit;
    json_t *result;

    json_object_foreach(r->runs, unit, result)
    {
        if (strcmp(json_string_value(result), "success") != 0) {
            op_report_wrong(
                r,
                "the last run of %s failed (%s); see: journalctl -u %s; when that is "
                "mended: systemctl start %s",
                unit, json_string_value(result), unit, unit);
        }
    }
}

static void judge_mail(struct op_report *r)
{
    if (r->no_dkim_key) {
        op_report_wrong(r, "all outgoing mail is put off: chatmail-filter has no DKIM "
                           "key; see: journalctl -u chatmail-filter-out; run: chatops "
                           "run");
    }
    if (r->queue > QUEUE_LONG) {
        op_report_wrong(r, "%lld messages wait in the queue", r->queue);
    }
    /* What is older than the last success is one phone's trouble, not the service's. */
    if (r->push_stuck_s > PUSH_LATE_S) {
        op_report_wrong(r,
                        "phones are not woken up: no notification got through for %lld "
                        "s; see: journalctl -u chatmail-push",
                        r->push_success_s);
    }
}

static void judge_rest(struct op_report *r)
{
    for (size_t i = 0; i < r->disk_count; i++) {
        if (r->disks[i].used_percent >= DISK_FULL) {
            op_report_wrong(r, "disk %s of the store is %d %% full", r->disks[i].path,
                            r->disks[i].used_percent);
        }
    }
    if (r->backup_age_s > OP_BACKUP_LATE_S) {
        op_report_wrong(r, "the last backup is %lld h old", r->backup_age_s / 3600);
    }
    for (size_t i = 0; i < r->c->conf.unused_count; i++) {
        op_report_wrong(r, "%s: not understood: %s", r->c->cli->config,
                        r->c->conf.unused[i]);
    }
}

static void judge_probe(struct op_report *r)
{
    char text[400];

    for (size_t i = 0; i < r->ring.count && r->probed; i++) {
        op_probe_wrong(&r->ring.pairs[i], text, sizeof(text));
        if (text[0] != '\0') {
            op_report_wrong(r, "%s", text);
        }
    }
    if (r->probed && r->ring.trouble[0] != '\0' && r->c->node_count > 1) {
        op_report_wrong(r, "probe: %s", r->ring.trouble);
    }
}

/* Frozen, say: systemd sees it running. */
static void judge_silent_programs(struct op_report *r)
{
    for (size_t i = 0; i < json_array_size(r->silent); i++) {
        const char *name = json_string_value(json_array_get(r->silent, i));
        char unit[80];
        snprintf(unit, sizeof(unit), "%.60s.service", name);
        if (strcmp(op_report_text(r->units, unit), "active") == 0) {
            op_report_wrong(r, "%s runs and does not answer; see: journalctl -u %s",
                            name, name);
        }
    }
}

void op_report_judge(struct op_report *r)
{
    const char *name;
    json_t *state;

    judge_probe(r);
    json_object_foreach(r->units, name, state)
    {
        if (strcmp(json_string_value(state), "active") != 0) {
            op_report_wrong(r, "%s is %s; see: journalctl -u %s", name,
                            json_string_value(state), name);
        }
    }
    if (json_object_get(r->packages, "portico-store") == NULL) {
        op_report_wrong(r, "the store has no portico-store; run: chatops run");
    }
    judge_silent_programs(r);
    judge_plugins(r);
    judge_runs(r);
    judge_mail(r);
    judge_rest(r);
    if (r->cluster == NULL) {
        op_report_wrong(r, "chatmail-cluster does not answer on the store");
        return;
    }
    if (op_report_text(r->cluster, "refused")[0] != '\0') {
        op_report_wrong(r, "the newest desired state is refused (%s); run: chatops run",
                        op_report_text(r->cluster, "refused"));
    }
    for (size_t i = 1; i < r->c->node_count; i++) {
        judge_gateway(r, &r->c->nodes[i]);
    }
}
