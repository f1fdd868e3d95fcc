/* The desired state in PostgreSQL is changed, or rolled back, behind the signature's
 * back: gateways refuse it, say so, and go on with what they have. chatmail-cluster
 * reads the table every two seconds and hands on what is there, so nothing need be
 * restarted. */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/clock.h"
#include "door.h"

#define REFUSAL_MS 30000
#define WELL_MS    30000
#define NEWEST     "(select max(epoch) from desired_state)"

static int sql(struct stage *stage, const char *statements, char **out_r,
               struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(stage, "store", statements, &said, err,
                           "runuser -u postgres -- psql -qtAX -v ON_ERROR_STOP=1 "
                           "-1 -d chatmail -f -");
    int rc = status == 0 ? 0 : -1;
    if (status > 0) {
        cm_err_set(err, CM_ERR_WORLD, "psql: %.400s", said);
    }
    if (rc == 0 && out_r != NULL) {
        *out_r = said;
    } else {
        free(said);
    }
    return rc;
}

static int keep(struct stage *stage, struct cm_err *err)
{
    return sql(stage, "create table scenario_saved as select * from desired_state;",
               NULL, err);
}

/* A second epoch, so that there is an older one to go back to: the same document with
 * one gateway's egress off, then as it was. */
static int publish_two(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(
        stage, "store", NULL, &said, err,
        "set -e; doc=$(runuser -u postgres -- psql -qtAX -d chatmail -c \"select "
        "split_part(envelope, E'\\\\n', 2) from desired_state where epoch = " NEWEST
        "\" | sed 's/\"epoch\":[0-9]*/\"epoch\":0/'); "
        "echo \"$doc\" | sed 's/\"egress\":true/\"egress\":false/' | "
        "chatmail-cluster ctl publish; "
        "echo \"$doc\" | chatmail-cluster ctl publish");
    int rc = status == 0 ? 0 : -1;
    if (status > 0) {
        cm_err_set(err, CM_ERR_WORLD, "publish: %.400s", said);
    }
    free(said);
    return rc;
}

/* Both gateways must say it, within REFUSAL_MS. */
static int await_refusal(struct stage *stage, const char *node,
                         const struct scene_mark *mark, struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + REFUSAL_MS;
    while (cm_now_mono_ms() < until) {
        char *log = NULL;
        if (scene_journal(&stage->scene, node, mark, "-u chatmail-gateway", &log,
                          err)) {
            return -1;
        }
        bool said = strstr(log, "event=document_refused") != NULL;
        free(log);
        if (said) {
            return 0;
        }
        stage_sleep_ms(500);
    }
    return cm_err_set(err, CM_ERR_REFUSE, "%s logged no event=document_refused", node);
}

static int still_as_before(struct stage *stage, const char *rules,
                           const struct scene_account *account, struct cm_err *err)
{
    struct door doors[] = {door_at("edge1", AF_INET, 993, true),
                           door_at("edge2", AF_INET6, 465, false)};
    char *now = NULL;
    if (cluster_rules(stage, "edge1", &now, err) != 0) {
        return -1;
    }
    bool same = strcmp(rules, now) == 0;
    free(now);
    if (!same) {
        return cm_err_set(err, CM_ERR_REFUSE, "edge1's rules changed");
    }
    for (size_t i = 0; i < 2; i++) {
        if (door_must_let_in(stage, &doors[i], account, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Changes the table, waits for the refusals, looks around, puts the table back. */
static int attack(struct stage *stage, const char *statements, const char *rules,
                  const struct scene_account *account, struct cm_err *err)
{
    struct scene_mark marks[2];
    if (scene_mark(&stage->scene, "edge1", &marks[0], err) != 0 ||
        scene_mark(&stage->scene, "edge2", &marks[1], err) != 0 ||
        sql(stage, statements, NULL, err) != 0 ||
        await_refusal(stage, "edge1", &marks[0], err) != 0 ||
        await_refusal(stage, "edge2", &marks[1], err) != 0 ||
        still_as_before(stage, rules, account, err) != 0) {
        return -1;
    }
    if (scenario_document_back(stage, err) != 0 ||
        cluster_until_well(stage, WELL_MS, NULL, err) != 0) {
        return cm_err_prefix(err, "afterwards");
    }
    return still_as_before(stage, rules, account, err);
}

static int play(struct stage *stage, const char *rules,
                const struct scene_account *account, struct cm_err *err)
{
    if (keep(stage, err) != 0 ||
        attack(stage,
               "update desired_state set envelope = replace(envelope, "
               "'\"mode\":\"active\"', '\"mode\":\"off\"') where epoch = " NEWEST ";",
               rules, account, err) != 0) {
        return cm_err_prefix(err, "changed document");
    }
    if (keep(stage, err) != 0 ||
        attack(stage, "delete from desired_state where epoch >= " NEWEST " - 1;", rules,
               account, err) != 0) {
        return cm_err_prefix(err, "older document");
    }
    return 0;
}

int scenario_tampered_document(struct stage *stage, struct cm_err *err)
{
    struct scene_account account;
    char *rules = NULL;
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0 ||
        publish_two(stage, err) != 0 ||
        cluster_until_well(stage, WELL_MS, NULL, err) != 0 ||
        cluster_rules(stage, "edge1", &rules, err) != 0) {
        return -1;
    }
    int rc = play(stage, rules, &account, err);
    free(rules);
    return rc;
}

int scenario_document_back(struct stage *stage, struct cm_err *err)
{
    char *there = NULL;
    if (sql(stage, "select to_regclass('scenario_saved') is not null;", &there, err)) {
        return -1;
    }
    bool saved = there[0] == 't';
    free(there);
    if (!saved) {
        return 0;
    }
    return sql(stage,
               "delete from desired_state; "
               "insert into desired_state select * from scenario_saved; "
               "drop table scenario_saved;",
               NULL, err);
}
