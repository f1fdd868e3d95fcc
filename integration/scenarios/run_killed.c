/* chatops run killed with SIGKILL in the middle of a change, at several moments. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "door.h"

#define KEPT CLUSTER_DIR "/chatmail.ini.before-scenario"

int scenario_ini_keep(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "operator", 0, NULL, err,
                    "cd " CLUSTER_DIR " && { test -e " KEPT " || cp -p " CLUSTER_INI
                    " " KEPT "; }");
}

int scenario_ini_connections(struct stage *stage, int value, struct cm_err *err)
{
    return scene_sh(&stage->scene, "operator", 0, NULL, err,
                    "cd " CLUSTER_DIR " && sed '/^max_smtp_connections *=/d' " KEPT
                    " | sed '/^\\[params\\]/a max_smtp_connections = %d' >new.ini && "
                    "mv new.ini " CLUSTER_INI,
                    value);
}

/* What Postfix on the store would do. */
static int read_connections(struct stage *stage, long *value_r, struct cm_err *err)
{
    char *text = NULL;
    if (scene_sh(&stage->scene, "store", 0, &text, err,
                 "postconf -F -h smtps/inet/process_limit") != 0) {
        return -1;
    }
    *value_r = strtol(text, NULL, 10);
    free(text);
    return 0;
}

/* *in_the_middle_r: the journal has a run that never said how it ended. */
static int run_and_kill(struct stage *stage, double after_s, bool *in_the_middle_r,
                        struct cm_err *err)
{
    char *said = NULL;
    int status =
        stage_ask(stage, "operator", NULL, &said, err,
                  "cd " CLUSTER_DIR " && timeout --foreground -s KILL %.1f "
                  "chatops run --yes --config " CLUSTER_INI " >killed.log 2>&1;"
                  " tail -n 1 .chatops/journal.jsonl; rm -f killed.log",
                  after_s);
    if (status < 0) {
        return -1;
    }
    *in_the_middle_r = said[0] != '\0' && strstr(said, "run-end") == NULL;
    free(said);
    return 0;
}

static int finish(struct stage *stage, bool resumed, struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, "run --yes", &said, err);
    if (status < 0) {
        return -1;
    }
    int rc = 0;
    if (status != 0) {
        size_t n = strlen(said);
        rc = cm_err_set(err, CM_ERR_REFUSE, "the run after it: status %d: %s", status,
                        n > 600 ? said + n - 600 : said);
    } else if (resumed && strstr(said, "resuming") == NULL) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "the run after it does not say 'resuming'");
    }
    free(said);
    return rc;
}

static int one_kill(struct stage *stage, int value, double after_s, unsigned *middle,
                    struct cm_err *err)
{
    bool in_the_middle = false;
    long now = 0;
    if (scenario_ini_connections(stage, value, err) != 0 ||
        run_and_kill(stage, after_s, &in_the_middle, err) != 0 ||
        finish(stage, in_the_middle, err) != 0 ||
        read_connections(stage, &now, err) != 0) {
        return -1;
    }
    *middle += in_the_middle;
    return now == value ? 0
                        : cm_err_set(err, CM_ERR_REFUSE,
                                     "Postfix has %ld connections, not %d", now, value);
}

static int judge_end(struct stage *stage, long before, struct cm_err *err)
{
    long now = 0;
    struct scene_account account;
    if (scenario_ini_back(stage, err) != 0 || read_connections(stage, &now, err) != 0) {
        return cm_err_prefix(err, "putting it back");
    }
    if (now != before) {
        return cm_err_set(err, CM_ERR_REFUSE, "put back: %ld connections, were %ld",
                          now, before);
    }
    return account_make(stage, &account, SCENE_DOMAIN, err);
}

int scenario_run_killed(struct stage *stage, struct cm_err *err)
{
    static const double moments[] = {1.0, 2.5, 4.0};
    size_t n = stage->quick ? 2 : 3;
    unsigned middle = 0;
    long before = 0;
    if (read_connections(stage, &before, err) != 0 ||
        scenario_ini_keep(stage, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (one_kill(stage, 701 + (int)i, moments[i], &middle, err) != 0) {
            return cm_err_prefix(err, "killed after %.1f s", moments[i]);
        }
    }
    if (middle == 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "no run was caught in the middle");
    }
    stage_note(stage, "%u of %zu kills fell into the middle", middle, n);
    return judge_end(stage, before, err);
}

int scenario_ini_back(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(stage, "operator", NULL, &said, err, "test -e " KEPT);
    free(said);
    if (status != 0) {
        return status > 0 ? 0 : -1;
    }
    if (scene_sh(&stage->scene, "operator", 0, NULL, err,
                 "cp -p " KEPT " " CLUSTER_DIR "/" CLUSTER_INI) != 0 ||
        finish(stage, false, err) != 0) {
        return -1;
    }
    return scene_sh(&stage->scene, "operator", 0, NULL, err, "rm -f " KEPT);
}
