#include "enrol.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acme.h"
#include "answer.h"
#include "cluster.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/run.h"
#include "measure.h"
#include "modes.h"
#include "say.h"

#define FIRST_TUNNEL_MS 60000 /* a new tunnel has to shake hands first */
#define DOOR_MS         3000

struct enrolment {
    struct op_cluster c;
    struct op_plan plan;
    struct op_summary sum;
    struct op_change change; /* what is waited for */
    struct op_node *node;
    int64_t from_ms;
    struct op_view views[CM_ADDRESSES_MAX];
    size_t view_count;
    bool not_yet; /* without agent: nobody has loaded its files yet */
    json_t *dns;  /* records to add; owned */
};

/* ---- the plan ---- */

static void make_plan(struct enrolment *e)
{
    const struct cm_conf_gateway *gw = e->node->gateway;

    e->change = (struct op_change){.c = &e->c,
                                   .plan = &e->plan,
                                   .mode = gw->mode,
                                   .number = (int)gw->number,
                                   .patience_ms = FIRST_TUNNEL_MS};
    snprintf(e->change.name, sizeof(e->change.name), "%.32s", gw->name);
    op_run_plan(&e->plan, &e->c, gw->name);
    if (gw->agent) {
        op_change_hear(&e->change);
    }
    op_change_hear_others(&e->change);
    if (gw->agent) {
        op_add_reach(&e->plan, e->node);
    }
    op_add_acme(&e->plan, &e->c.nodes[0]);
    op_plan_catch(&e->plan);
    op_run_confirm(&e->plan, &e->c);
}

/* ---- what is found then ---- */

/* As ssh(1) would connect; 0 when there is none. */
static int ssh_port(const char *target)
{
    const char *argv[] = {"ssh", "-G", "--", target, NULL};
    struct cm_run run = {.argv = argv, .timeout_ms = 5000};
    struct cm_err ignored;
    char *said = NULL;
    int port = 0;

    if (target[0] == '\0' || cm_run_ok(&run, &said, &ignored) != 0) {
        return 0;
    }
    const char *line = strstr(said, "\nport ");
    if (line != NULL) {
        port = (int)strtol(line + 6, NULL, 10);
    }
    free(said);
    return port;
}

static bool answers(const struct cm_conf_gateway *gw)
{
    char words[CM_ADDRESSES_MAX][64], said[120];
    size_t n = cm_conf_words(gw->addresses, words, CM_ADDRESSES_MAX);

    for (size_t i = 0; i < n; i++) {
        if (op_reach_tcp(words[i], 443, NULL, DOOR_MS, said, sizeof(said)) ==
            OP_REACH_OK) {
            return true;
        }
    }
    return false;
}

static int measure(struct enrolment *e, struct cm_err *err)
{
    const struct cm_conf_gateway *gw = e->node->gateway;

    e->not_yet = !gw->agent && !answers(gw);
    if (gw->mode != CM_MODE_ACTIVE || e->not_yet) {
        return 0;
    }
    if (!e->c.cli->json) {
        op_say(OP_PLAIN, "measuring");
    }
    e->view_count =
        op_measure(e->node, e->c.conf.mail_domain, ssh_port(gw->ssh), e->views);
    return op_measure_seen(&e->c.nodes[0].host, e->views, e->view_count, err);
}

/* ---- the end ---- */

static bool find_wrong(const struct enrolment *e, char *why, size_t size)
{
    for (size_t i = 0; i < e->view_count; i++) {
        if (op_measure_wrong(&e->views[i], e->node->gateway, why, size)) {
            return true;
        }
    }
    why[0] = '\0';
    return false;
}

static void say_dns(const struct enrolment *e)
{
    const json_t *line;
    size_t i;

    if (json_array_size(e->dns) > 0) {
        op_say(OP_PLAIN, "  DNS: publish what is missing of these (see: chatops dns)");
    }
    json_array_foreach(e->dns, i, line)
    {
        char *text = cm_asprintf("    %s", json_string_value(line));
        op_print(OP_PLAIN, text);
        free(text);
    }
}

static void say_text(const struct enrolment *e)
{
    const struct cm_conf_gateway *gw = e->node->gateway;
    double s = (double)(cm_now_mono_ms() - e->from_ms) / 1000;

    if (e->not_yet) {
        op_say(OP_GREEN, "%s is part of the cluster (number %lld), and has no agent",
               gw->name, (long long)gw->number);
        op_say(OP_PLAIN,
               "next: load there what \"chatops gateway render %s --pf\" prints, then "
               "call this again: it measures",
               gw->name);
    } else {
        op_say(
            OP_GREEN,
            "%s is part of the cluster: number %lld, mode %s (%zu steps changed, %zu "
            "were right already, %.1f s)",
            gw->name, (long long)gw->number, cm_mode_name(gw->mode), e->sum.changed,
            e->sum.ok, s);
    }
    op_measure_say(e->views, e->view_count, gw);
    say_dns(e);
}

static void say_json(const struct enrolment *e, const char *wrong)
{
    const struct cm_conf_gateway *gw = e->node->gateway;
    json_t *o =
        json_pack("{s:s, s:s, s:I, s:s, s:s, s:b, s:I, s:o, s:O, s:s, s:s, s:b}",
                  "result", wrong[0] == '\0' ? "ok" : "wrong", "name", gw->name,
                  "number", (json_int_t)gw->number, "addresses", gw->addresses, "mode",
                  cm_mode_name(gw->mode), "changed", e->sum.changed > 0, "ms",
                  (json_int_t)(cm_now_mono_ms() - e->from_ms), "measured",
                  op_measure_json(e->views, e->view_count, gw), "dns", e->dns, "wrong",
                  wrong, "late", e->change.late, "render_needed", e->not_yet);

    op_answer(o);
}

static int say_end(const struct enrolment *e)
{
    char wrong[300];
    bool bad = find_wrong(e, wrong, sizeof(wrong));

    if (e->c.cli->json) {
        say_json(e, wrong);
    } else {
        say_text(e);
    }
    if (bad) {
        op_complain("%s", wrong);
    }
    if (e->change.late[0] != '\0') {
        op_warn("others have not applied the present state: %s; see: chatops status",
                e->change.late);
    }
    return bad || e->change.late[0] != '\0' ? OP_EXIT_FAILED : OP_EXIT_OK;
}

static int finish(struct enrolment *e, struct cm_err *err)
{
    if (op_run_possible(&e->c, err) != 0) {
        return -1;
    }
    make_plan(e);
    if (op_plan_run(&e->plan, &e->sum, err) != 0) {
        if (!e->sum.stopped) {
            return -1;
        }
        op_complain("%s", err->text);
        return OP_EXIT_INT;
    }
    if (measure(e, err) != 0 ||
        op_dns_added(&e->c, e->node->gateway->name, &e->dns, err) != 0) {
        return -1;
    }
    return say_end(e);
}

int op_enrol_finish(const struct op_cli *cli, const char *name, struct cm_err *err)
{
    struct enrolment *e = cm_calloc(1, sizeof(*e));
    int rc = -1;

    e->from_ms = cm_now_mono_ms();
    if (op_cluster_load(cli, &e->c, err) != 0) {
        free(e);
        return -1;
    }
    op_plan_init(&e->plan, e->c.state_dir, cli->json);
    e->node = op_cluster_gateway(&e->c, name);
    if (e->node == NULL) {
        cm_err_set(err, CM_ERR_WORLD, "[gateway %s] is gone from %s", name,
                   cli->config);
    } else {
        rc = finish(e, err);
    }
    json_decref(e->dns);
    op_plan_clear(&e->plan);
    op_cluster_clear(&e->c);
    free(e);
    return rc;
}
