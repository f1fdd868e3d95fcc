/* chatops run: the list of steps from chatmail.ini to a working cluster. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "acme.h"
#include "answer.h"
#include "cli.h"
#include "cluster.h"
#include "common/buf.h"
#include "common/clock.h"
#include "plan.h"
#include "restore.h"
#include "say.h"

static bool ask(void *ctx)
{
    const struct op_cluster *c = ctx;
    char answer[16];

    const char *before = "";

    printf("\nThis changes:");
    for (size_t i = 0; i < c->node_count; i++) {
        const char *target = c->nodes[i].host.target;
        if (!c->nodes[i].skipped) {
            printf("%s %s (%s)", before, c->nodes[i].host.name,
                   target[0] != '\0' ? target : "this machine");
            before = ",";
        }
    }
    printf(". Go ahead? [y/N] ");
    fflush(stdout);
    return fgets(answer, sizeof(answer), stdin) != NULL &&
           (answer[0] == 'y' || answer[0] == 'Y');
}

/* What chatops cannot read from a machine has to be in chatmail.ini. */
static int check_keys_given(const struct op_cluster *c, struct cm_err *err)
{
    for (size_t i = 0; i < c->conf.gateway_count; i++) {
        const struct cm_conf_gateway *g = &c->conf.gateways[i];
        if ((g->ssh[0] == '\0' || !g->agent) && g->wg_public_key[0] == '\0') {
            return cm_err_set(err, CM_ERR_WORLD,
                              "[gateway %s] has neither ssh (and agent = yes) nor "
                              "wg_public_key: give it one of them",
                              g->name);
        }
    }
    return 0;
}

int op_run_possible(const struct op_cluster *c, struct cm_err *err)
{
    if (c->conf.gateway_count == 0 &&
        (c->conf.store.addresses == NULL || c->conf.store.addresses[0] == '\0')) {
        return cm_err_set(
            err, CM_ERR_WORLD,
            "nothing has a public address: add a gateway (chatops gateway "
            "add NAME --ssh root@ADDRESS), or give [store] addresses");
    }
    return check_keys_given(c, err);
}

static void add_node(struct op_plan *plan, struct op_cluster *c, size_t i)
{
    struct op_node *node = &c->nodes[i];
    bool mail = i == 0 && !c->cli->disable_mail;

    if (i == 0) {
        op_add_restore_begin(plan, node);
    }
    op_add_package(plan, node);
    if (i == 0) {
        op_add_restore_keys(plan, node);
    }
    op_add_keys(plan, node);
    if (i == 0) {
        op_add_tls(plan, node);
        op_add_dkim(plan, node);
        op_add_turn_secret(plan, node);
        op_add_dns_key(plan, node);
    }
    op_add_files(plan, node);
    if (mail) {
        op_add_idle(plan, node);
        op_add_echo(plan, node);
    }
    op_add_units(plan, node);
    op_add_carrier(plan, node);
    if (i == 0) {
        op_add_retired(plan, node);
    }
    op_add_version(plan, node);
}

static void skip_others(struct op_cluster *c, const char *only, bool and_store)
{
    for (size_t i = and_store ? 0 : 1; i < c->node_count; i++) {
        struct op_node *node = &c->nodes[i];
        node->skipped |= strcmp(node->host.name, only) != 0;
    }
}

static void add_preflights(struct op_plan *plan, struct op_cluster *c)
{
    for (size_t i = 0; i < c->node_count; i++) {
        if (!c->nodes[i].skipped) {
            op_add_preflight(plan, &c->nodes[i]);
        }
    }
}

/* Everything is looked at before anything is touched; the store comes before the
 * gateways, because they pin its keys; the world is asked last. */
void op_run_plan(struct op_plan *plan, struct op_cluster *c, const char *only)
{
    if (only != NULL) {
        skip_others(c, only, false);
    }
    add_preflights(plan, c);
    for (size_t i = 0; i < c->node_count; i++) {
        if (!c->nodes[i].skipped) {
            add_node(plan, c, i);
        }
    }
    op_add_known_keys(plan, c);
    op_add_publish(plan, c);
}

/* Every node in scope, the world last. A gateway that is not ours to set up is looked
 * at all the same. */
void op_run_all(struct op_plan *plan, struct op_cluster *c)
{
    op_add_dns(plan, c);
    op_run_plan(plan, c, NULL);
    op_add_restore_end(plan, &c->nodes[0]);
    op_add_wait(plan, c);
    for (size_t i = 0; i < c->node_count; i++) {
        op_add_reach(plan, &c->nodes[i]);
    }
    op_add_acme(plan, &c->nodes[0]);
}

/* One node, and nothing that others would notice: the desired state is one document for
 * all of them. */
static void plan_one(struct op_plan *plan, struct op_cluster *c)
{
    skip_others(c, c->cli->only, true);
    add_preflights(plan, c);
    if (c->nodes[0].skipped) {
        op_add_store_keys(plan, &c->nodes[0]);
    }
    for (size_t i = 0; i < c->node_count; i++) {
        if (!c->nodes[i].skipped) {
            add_node(plan, c, i);
            op_add_reach(plan, &c->nodes[i]);
        }
    }
    if (!c->nodes[0].skipped) {
        op_add_acme(plan, &c->nodes[0]);
    }
}

static void make_plan(struct op_plan *plan, struct op_cluster *c)
{
    if (c->cli->website_only) {
        skip_others(c, c->nodes[0].host.name, false);
        op_add_pages(plan, &c->nodes[0]);
    } else if (c->cli->only != NULL) {
        plan_one(plan, c);
    } else {
        op_run_all(plan, c);
    }
}

/* Is --only a node that can be worked on, and do the options go together? */
static int check_words(const struct op_cluster *c, struct cm_err *err)
{
    const struct op_cli *cli = c->cli;
    struct cm_buf names;

    if (cli->website_only && (cli->only != NULL || cli->disable_mail)) {
        return cm_err_set(
            err, CM_ERR_REFUSE,
            "--website-only brings nothing but pages to the store: say it "
            "without --only and --disable-mail");
    }
    cm_buf_init(&names, 4096);
    for (size_t i = 0; cli->only != NULL && i < c->node_count; i++) {
        const struct op_node *n = &c->nodes[i];
        if (!n->skipped && strcmp(n->host.name, cli->only) == 0) {
            cm_buf_clear(&names);
            return cli->disable_mail && i > 0
                       ? cm_err_set(err, CM_ERR_REFUSE,
                                    "--disable-mail concerns the store, not %s",
                                    cli->only)
                       : 0;
        }
        cm_buf_fmt(&names, "%s%s", n->skipped || i == 0 ? "" : ", ",
                   n->skipped ? "" : n->host.name);
    }
    if (cli->only != NULL) {
        cm_err_set(err, CM_ERR_REFUSE,
                   "--only %s: chatops sets up no node of that name; there are: %s",
                   cli->only, names.data);
    }
    cm_buf_clear(&names);
    return cli->only == NULL ? 0 : -1;
}

/* Without a word somebody might think that they were brought up to date too. */
static void say_skipped(const struct op_cluster *c)
{
    for (size_t i = 1; i < c->node_count; i++) {
        const struct op_node *n = &c->nodes[i];
        if (n->skipped && n->gateway->agent) {
            op_say(OP_PLAIN,
                   "%s has no ssh: its package and files were left alone; to update "
                   "them: chatops gateway add %s --ssh TARGET (it keeps its key), or a "
                   "new line by chatops gateway invite %s",
                   n->host.name, n->host.name, n->host.name);
        } else if (n->skipped) {
            op_say(OP_PLAIN,
                   "%s has no agent: load there what this prints, if it has changed: "
                   "chatops gateway render %s --pf",
                   n->host.name, n->host.name);
        }
    }
}

void op_run_confirm(struct op_plan *plan, struct op_cluster *c)
{
    if (!c->cli->yes && !c->cli->json && isatty(STDIN_FILENO)) {
        plan->confirm = ask;
        plan->confirm_ctx = c;
    }
}

static void say_changed(const struct op_cluster *c, const struct op_summary *sum,
                        double s)
{
    const struct op_cli *cli = c->cli;

    if (cli->website_only) {
        op_say(OP_GREEN, "the web pages of %s are as they should be (%.1f s)",
               c->conf.mail_domain, s);
        return;
    }
    op_say(OP_GREEN, "%s is up: %zu steps changed, %zu were right already (%.1f s)",
           cli->only != NULL ? cli->only : c->conf.mail_domain, sum->changed, sum->ok,
           s);
    if (cli->only != NULL) {
        op_say(OP_PLAIN,
               "next: chatops run   (the other nodes, and the desired state)");
    } else if (!c->conf.is_ip && !cli->disable_mail) {
        op_say(OP_PLAIN, "next: chatops dns   (what to publish, and whether it is)");
    }
}

/* However the run ends, it is said last that nobody can read mail now. */
static void say_mail_off(const struct op_cluster *c, bool dry)
{
    if (c->cli->disable_mail && !c->cli->json && !dry) {
        op_say(OP_YELLOW,
               "mail is switched off: clients and relays are refused and try "
               "again; chatops run switches it on");
    }
}

static void say_end(const struct op_cluster *c, const struct op_summary *sum, bool dry,
                    int64_t ms)
{
    double s = (double)ms / 1000;

    if (c->cli->json) {
        op_answer(json_pack("{s:s, s:b, s:I, s:I, s:I}", "result", "ok", "dry_run", dry,
                            "changed", (json_int_t)sum->changed, "ok",
                            (json_int_t)sum->ok, "ms", (json_int_t)ms));
        return;
    }
    if (c->cli->only == NULL && !c->cli->website_only) {
        say_skipped(c);
    }
    if (sum->changed == 0) {
        op_say(OP_GREEN, "nothing to change: %s is as %s says (%zu steps, %.1f s)",
               c->conf.mail_domain, c->cli->config, sum->ok, s);
        return;
    }
    if (dry) {
        op_say(OP_YELLOW, "%zu steps would change something; nothing was touched",
               sum->changed);
        return;
    }
    say_changed(c, sum, s);
}

int op_run(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    struct op_plan plan;
    struct op_summary sum;
    int64_t from = cm_now_mono_ms();
    int rc = -1;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    op_plan_init(&plan, c.state_dir, cli->json);
    if (check_words(&c, err) != 0) {
        op_complain("%s", err->text);
        rc = OP_EXIT_USAGE;
        goto out;
    }
    if (op_run_possible(&c, err) != 0) {
        goto out;
    }
    make_plan(&plan, &c);
    op_plan_catch(&plan);
    op_run_confirm(&plan, &c);
    rc = cli->dry_run ? op_plan_show(&plan, &sum, err) : op_plan_run(&plan, &sum, err);
    if (rc == 0) {
        say_end(&c, &sum, cli->dry_run, cm_now_mono_ms() - from);
        say_mail_off(&c, cli->dry_run);
    } else if (sum.stopped) {
        op_complain("%s", err->text);
        rc = OP_EXIT_INT;
    }
    op_cluster_warn_unused(&c);
out:
    op_plan_clear(&plan);
    op_cluster_clear(&c);
    return rc;
}
