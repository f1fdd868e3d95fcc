/* chatops init: a fresh chatmail.ini; with --ssh also the first look at the store,
 * whose host key is pinned, and the cluster key, made there. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "cli.h"
#include "cluster.h"
#include "common/conf.h"
#include "common/file.h"
#include "ini_edit.h"
#include "say.h"

static int write_ini(const struct op_cli *cli, struct cm_err *err)
{
    char *text = cm_conf_default_text(cli->args[0]), *with_ssh;
    int rc = 0;

    if (cli->ssh != NULL) {
        rc = op_ini_with_value(text, "store", "ssh", cli->ssh, &with_ssh, err);
        if (rc == 0) {
            free(text);
            text = with_ssh;
        }
    }
    if (rc == 0) {
        rc = cm_file_replace(cli->config, text, strlen(text), 0644, err);
    }
    free(text);
    return rc;
}

/* Written by the same command before, which then found the store unfit? */
static bool is_the_same(const struct op_cli *cli)
{
    struct cm_conf conf;
    struct cm_err ignored;

    if (cli->ssh == NULL || cm_conf_load(cli->config, &conf, &ignored) != 0) {
        return false;
    }
    bool same = strcmp(conf.mail_domain, cli->args[0]) == 0 &&
                strcmp(conf.store.ssh, cli->ssh) == 0;
    cm_conf_clear(&conf);
    return same;
}

static void say_next(const struct op_cli *cli)
{
    const char *domain = cli->args[0];

    if (cli->json) {
        op_answer(json_pack("{s:s, s:s, s:s, s:s*}", "result", "ok", "domain", domain,
                            "file", cli->config, "ssh", cli->ssh));
        return;
    }
    op_say(OP_GREEN, "created config file for %s in %s", domain, cli->config);
    if (cli->ssh == NULL) {
        op_say(OP_PLAIN, "the store is this machine; if it is another, write \"ssh = "
                         "root@ADDRESS\"\nbelow [store] in it, or init with --ssh");
    }
    op_say(OP_PLAIN, "next: chatops gateway add edge1 --ssh root@ADDRESS\n"
                     "which sets up both and measures what came of it");
}

/* The first SSH: what is in the way there is better known now than after renting the
 * gateways. */
static int look_at_store(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    struct op_plan plan;
    struct op_summary sum;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    op_plan_init(&plan, c.state_dir, cli->json);
    op_add_preflight(&plan, &c.nodes[0]);
    op_add_cluster_key(&plan, &c.nodes[0]);
    op_plan_catch(&plan);
    int rc = op_plan_run(&plan, &sum, err);
    if (rc != 0) {
        cm_err_prefix(err, "%s is written", cli->config);
    }
    op_plan_clear(&plan);
    op_cluster_clear(&c);
    return rc;
}

int op_init(const struct op_cli *cli, struct cm_err *err)
{
    const char *domain = cli->args[0];
    bool exists = access(cli->config, F_OK) == 0;
    bool again = exists && !cli->force && is_the_same(cli);

    if (!cm_value_is_ipv4(domain) && cm_value_domain(domain, err) != 0) {
        cm_err_prefix(err, "\"%.80s\"", domain);
        op_complain("%s", err->text);
        return OP_EXIT_USAGE;
    }
    if (exists && !cli->force && !again) {
        op_say(OP_RED, "[WARNING] Path exists, not modifying: %s (--force replaces it)",
               cli->config);
        return OP_EXIT_FAILED;
    }
    if (exists && !again) {
        op_say(OP_YELLOW,
               "[WARNING] Force argument was provided: deleting config file %s",
               cli->config);
    }
    if (write_ini(cli, err) != 0 ||
        (cli->ssh != NULL && look_at_store(cli, err) != 0)) {
        return -1;
    }
    say_next(cli);
    return OP_EXIT_OK;
}
