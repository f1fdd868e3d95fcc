/* chatops gateway drain, resume, hold, off, remove, rotate. */
#include "modes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/mem.h"
#include "ini_edit.h"
#include "numbers.h"
#include "say.h"

/* ---- before anything is changed ---- */

static const struct cm_conf_gateway *find_conf(const struct cm_conf *conf,
                                               const char *name)
{
    for (size_t i = 0; i < conf->gateway_count; i++) {
        if (strcmp(conf->gateways[i].name, name) == 0) {
            return &conf->gateways[i];
        }
    }
    return NULL;
}

static int unknown_gateway(const struct cm_conf *conf, const char *name,
                           struct cm_err *err)
{
    struct cm_buf b;

    cm_buf_init(&b, 4096);
    for (size_t i = 0; i < conf->gateway_count; i++) {
        cm_buf_fmt(&b, "%s%s", i > 0 ? ", " : "", conf->gateways[i].name);
    }
    cm_err_set(err, CM_ERR_REFUSE, "there is no gateway \"%.64s\"; there %s: %s", name,
               conf->gateway_count == 1 ? "is" : "are", b.len > 0 ? b.data : "none");
    cm_buf_clear(&b);
    return -1;
}

/* Egress that was not written down follows from which gateways there are. */
static int egress_after(const struct op_change *ch, enum cm_egress *egress_r,
                        struct cm_err *err)
{
    enum cm_egress now = ch->was.state.egress;
    struct cm_conf conf;

    *egress_r = now;
    if (!ch->removes || !ch->in_ini) {
        return 0;
    }
    if (op_conf_without(ch->c, ch->section, &conf, err) != 0) {
        return -1;
    }
    *egress_r = now == ch->c->conf.store.egress ? conf.store.egress : now;
    cm_conf_clear(&conf);
    return 0;
}

static int refuse_last(const struct op_change *ch, struct cm_err *err)
{
    bool shuts = ch->drains || ch->removes || ch->mode == CM_MODE_OFF;

    if (!shuts || ch->c->cli->force || !op_fleet_is_last(&ch->was.fleet, ch->name)) {
        return 0;
    }
    return cm_err_set(
        err, CM_ERR_WORLD,
        "%s is the last gateway that serves: nobody could reach the relay; "
        "resume or add another first, or say --force",
        ch->name);
}

/* ch->was is read. 1 there is something to look after, 0 it was removed before. */
static int prepare(struct op_change *ch, struct cm_err *err)
{
    const struct cm_conf_gateway *in_ini = find_conf(&ch->c->conf, ch->name);
    const struct px_gateway *in_state = px_state_find(&ch->was.state, ch->name);
    enum cm_egress egress;

    snprintf(ch->section, sizeof(ch->section), "gateway %s", ch->name);
    ch->in_ini = in_ini != NULL;
    ch->in_state = in_state != NULL;
    ch->number = in_ini != NULL ? (int)in_ini->number
                 : ch->in_state ? in_state->number
                                : 0;
    if (!ch->in_ini && !ch->in_state) {
        return ch->removes && op_published_knew(&ch->was, ch->name)
                   ? 0
                   : unknown_gateway(&ch->c->conf, ch->name, err);
    }
    if (!ch->in_state && !ch->removes) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s is in %s, but not part of the published state; run: "
                          "chatops run",
                          ch->name, ch->c->cli->config);
    }
    if (refuse_last(ch, err) != 0 || egress_after(ch, &egress, err) != 0) {
        return -1;
    }
    ch->with_mode = op_edited_state(&ch->was.state, ch->name, ch->mode, false,
                                    ch->was.state.egress);
    ch->without = op_edited_state(&ch->was.state, ch->name, ch->mode, true, egress);
    return 1;
}

static int run_change(struct op_change *ch, const char *successor, struct cm_err *err)
{
    struct op_plan plan;
    struct op_summary sum = {0};
    struct op_dns_change dns;
    int rc = -1;

    op_plan_init(&plan, ch->c->state_dir, ch->c->cli->json);
    op_plan_catch(&plan);
    ch->plan = &plan;
    if (op_dns_after(ch, successor, &dns, err) == 0 &&
        (!ch->removes || op_numbers_note(ch->c, ch->number, ch->name, err) == 0)) {
        op_change_plan(ch);
        rc = op_plan_run(&plan, &sum, err);
        if (rc == 0) {
            rc = op_change_say(ch, &sum, &dns);
        } else if (sum.stopped || *plan.interrupted) {
            op_complain("%s", err->text);
            rc = OP_EXIT_INT;
        }
    }
    op_dns_change_clear(&dns);
    op_plan_clear(&plan);
    return rc;
}

/* ---- verbs ---- */

int op_drain_time(const char *text, int64_t *ms_r, struct cm_err *err)
{
    int64_t seconds = OP_DRAIN_S;

    if (text != NULL && cm_value_int(text, 0, OP_DRAIN_MAX_S, &seconds, err) != 0) {
        return cm_err_prefix(err, "--for");
    }
    *ms_r = seconds * 1000;
    return 0;
}

static int check_successor(const struct op_change *ch, const char *name,
                           struct cm_err *err)
{
    char why[300];

    if (find_conf(&ch->c->conf, name) == NULL) {
        return unknown_gateway(&ch->c->conf, name, err);
    }
    if (op_fleet_applied(&ch->was.fleet, name, CM_MODE_ACTIVE, why, sizeof(why))) {
        return 0;
    }
    return cm_err_set(err, CM_ERR_WORLD,
                      "%s cannot take over: %s; it has to be active and to report",
                      name, why);
}

static int change(const struct op_cli *cli, struct op_change *ch, const char *successor,
                  struct cm_err *err)
{
    struct op_cluster c;

    snprintf(ch->name, sizeof(ch->name), "%.32s", cli->args[0]);
    if (op_drain_time(cli->for_s, &ch->for_ms, err) != 0 ||
        (successor != NULL && strcmp(successor, cli->args[0]) == 0 &&
         cm_err_set(err, CM_ERR_REFUSE, "OLD and NEW are the same gateway") != 0)) {
        op_complain("%s", err->text);
        return OP_EXIT_USAGE;
    }
    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    ch->c = &c;
    int rc = op_published_read(&c, &ch->was, err);
    if (rc == 0 && successor != NULL) {
        rc = check_successor(ch, successor, err);
    }
    if (rc == 0) {
        rc = prepare(ch, err);
        rc = rc > 0    ? run_change(ch, successor, err)
             : rc == 0 ? op_change_say_before(ch)
                       : -1;
    }
    free(ch->with_mode);
    free(ch->without);
    op_published_clear(&ch->was);
    op_cluster_clear(&c);
    return rc;
}

static int set_mode(const struct op_cli *cli, enum cm_mode mode, struct cm_err *err)
{
    struct op_change ch = {.mode = mode, .drains = mode == CM_MODE_DRAIN};

    return change(cli, &ch, NULL, err);
}

int op_gateway_drain(const struct op_cli *cli, struct cm_err *err)
{
    return set_mode(cli, CM_MODE_DRAIN, err);
}

int op_gateway_resume(const struct op_cli *cli, struct cm_err *err)
{
    return set_mode(cli, CM_MODE_ACTIVE, err);
}

int op_gateway_hold(const struct op_cli *cli, struct cm_err *err)
{
    return set_mode(cli, CM_MODE_HOLD, err);
}

int op_gateway_off(const struct op_cli *cli, struct cm_err *err)
{
    return set_mode(cli, CM_MODE_OFF, err);
}

int op_gateway_remove(const struct op_cli *cli, struct cm_err *err)
{
    struct op_change ch = {.mode = CM_MODE_DRAIN, .drains = true, .removes = true};

    return change(cli, &ch, NULL, err);
}

int op_gateway_rotate(const struct op_cli *cli, struct cm_err *err)
{
    struct op_change ch = {.mode = CM_MODE_DRAIN, .drains = true, .removes = true};

    return change(cli, &ch, cli->args[1], err);
}
