/* chatops run: the list of steps from chatmail.ini to a working cluster. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "cli.h"
#include "cluster.h"
#include "common/clock.h"
#include "plan.h"
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
    if (c->conf.tls_mode == CM_TLS_ACME) {
        return cm_err_set(
            err, CM_ERR_WORLD,
            "%s needs certificates from an ACME CA, which this version does "
            "not fetch yet; give tls_external_cert_and_key your own, or take "
            "a name that begins with \"_\" (self-signed)",
            c->conf.mail_domain);
    }
    if (c->conf.gateway_count == 0 &&
        (c->conf.store.addresses == NULL || c->conf.store.addresses[0] == '\0')) {
        return cm_err_set(
            err, CM_ERR_WORLD,
            "nothing has a public address: add a gateway (chatops gateway "
            "add NAME --ssh root@ADDRESS), or give [store] addresses");
    }
    return check_keys_given(c, err);
}

/* Everything is looked at before anything is touched; the store comes before the
 * gateways, because they pin its keys; the world is asked last. */
void op_run_plan(struct op_plan *plan, struct op_cluster *c, const char *only)
{
    struct op_node *store = &c->nodes[0];

    for (size_t i = 0; i < c->node_count; i++) {
        struct op_node *node = &c->nodes[i];
        node->skipped |= i > 0 && only != NULL && strcmp(node->host.name, only) != 0;
        if (!node->skipped) {
            op_add_preflight(plan, node);
        }
    }
    for (size_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i].skipped) {
            continue;
        }
        op_add_package(plan, &c->nodes[i]);
        op_add_keys(plan, &c->nodes[i]);
        if (i == 0) {
            op_add_tls(plan, store);
            op_add_dkim(plan, store);
            op_add_turn_secret(plan, store);
        }
        op_add_files(plan, &c->nodes[i]);
        if (i == 0) {
            op_add_idle(plan, store);
            op_add_echo(plan, store);
        }
        op_add_units(plan, &c->nodes[i]);
        if (i == 0) {
            op_add_retired(plan, store);
        }
    }
    op_add_known_keys(plan, c);
    op_add_publish(plan, c);
}

/* Every node in scope, the world last. A gateway that is not ours to set up is looked
 * at all the same. */
static void make_plan(struct op_plan *plan, struct op_cluster *c)
{
    op_run_plan(plan, c, NULL);
    op_add_wait(plan, c);
    for (size_t i = 0; i < c->node_count; i++) {
        op_add_reach(plan, &c->nodes[i]);
    }
}

/* Without a word somebody might think that they were brought up to date too. */
static void say_skipped(const struct op_cluster *c)
{
    for (size_t i = 1; i < c->node_count; i++) {
        const struct op_node *n = &c->nodes[i];
        if (n->skipped && n->gateway->agent) {
            op_say(OP_PLAIN,
                   "%s has no ssh: its package and files were left alone; to update "
                   "them: chatops gateway invite %s",
                   n->host.name, n->host.name);
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
    say_skipped(c);
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
    op_say(OP_GREEN, "%s is up: %zu steps changed, %zu were right already (%.1f s)",
           c->conf.mail_domain, sum->changed, sum->ok, s);
    if (!c->conf.is_ip) {
        op_say(OP_PLAIN, "next: chatops dns   (what to publish, and whether it is)");
    }
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
    op_cluster_warn_unused(&c);
    op_plan_init(&plan, c.state_dir, cli->json);
    if (op_run_possible(&c, err) != 0) {
        goto out;
    }
    make_plan(&plan, &c);
    op_plan_catch(&plan);
    op_run_confirm(&plan, &c);
    rc = cli->dry_run ? op_plan_show(&plan, &sum, err) : op_plan_run(&plan, &sum, err);
    if (rc == 0) {
        say_end(&c, &sum, cli->dry_run, cm_now_mono_ms() - from);
        op_cluster_warn_unused(&c);
    } else if (sum.stopped) {
        op_complain("%s", err->text);
        rc = OP_EXIT_INT;
    }
out:
    op_plan_clear(&plan);
    op_cluster_clear(&c);
    return rc;
}
