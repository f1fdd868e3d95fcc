/* chatops gateway list. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "cli.h"
#include "cluster.h"
#include "roll.h"
#include "say.h"
#include "waiting.h"

/* 1 told, 0 the store does not answer (said already). */
static int ask_store(struct op_cluster *c, struct op_fleet *fleet)
{
    struct cm_err err;
    char *status = NULL;

    int rc =
        op_host_ask(&c->nodes[0].host, "chatmail-cluster ctl status", &status, &err);
    if (rc == 0) {
        rc = op_fleet_parse(status, fleet, &err);
    }
    free(status);
    if (rc != 0) {
        op_warn("%s; this is chatmail.ini alone", err.text);
    }
    return rc == 0;
}

static void say(const struct op_cluster *c, const struct op_roll *roll)
{
    if (c->cli->json) {
        op_answer(json_pack("{s:o}", "gateways", op_roll_json(roll)));
    } else if (roll->count == 0) {
        op_say(OP_PLAIN,
               "no gateways in %s; add one: chatops gateway add NAME --ssh "
               "root@ADDRESS",
               c->cli->config);
    } else {
        op_roll_say(roll);
    }
}

int op_gateway_list(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    struct op_fleet fleet;
    struct op_roll roll;
    struct op_waiters waiters;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    int told = ask_store(&c, &fleet);
    op_roll_fill(&c.conf, told ? &fleet : NULL, &roll);
    if (told && op_waiting_read(&c.nodes[0].host, &waiters, err) == 0) {
        op_roll_add_waiting(&c.conf, &waiters, &roll);
    } else if (told) {
        op_warn("invites are not shown: %s", err->text);
    }
    say(&c, &roll);
    op_cluster_clear(&c);
    return told ? OP_EXIT_OK : OP_EXIT_FAILED;
}
