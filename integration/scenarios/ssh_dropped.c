/* The SSH connections of a run are cut in the middle of a step; the next run goes on,
 * and is cut in another one. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"

#define VALUE     801 /* of max_smtp_connections; one more with each run */
#define STEPS_MAX 200
#define QUICK     6 /* of a quick stage: as many, all over the run */

/* Runs with the words $3, and kills every ssh of this machine as soon as step $2 of
 * node $1 has begun. Says "not reached", or the run's status and its last lines. */
static const char drop_script[] =
    "cd " CLUSTER_DIR "; j=.chatops/journal.jsonl; : >$j; rm -f drop.rc\n"
    "{ chatops run --yes $3 --config " CLUSTER_INI
    " >drop.log 2>&1; echo $? >drop.rc; } &\n"
    "until grep -qF \"\\\"start\\\",\\\"node\\\":\\\"$1\\\",\\\"step\\\":\\\"$2\\\"\" "
    "$j;"
    " do [ ! -e drop.rc ] || { echo not reached; tail -n 4 drop.log; exit 1; }\n"
    "sleep 0.02; done\n"
    "for p in $(pgrep -x ssh); do kill -9 $p; done\n"
    "wait; cat drop.rc; tail -n 6 drop.log"; /* a survey ends with a list */

/* 0: it went on by itself, or gave up and said that the connection was lost. */
static int run_and_drop(struct stage *stage, const char *node, const char *step,
                        const char *words, bool *gave_up_r, struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(stage, "operator", drop_script, &said, err,
                           "sh -s '%s' '%s' '%s'", node, step, words);
    if (status < 0) {
        return -1;
    }
    long rc = strtol(said, NULL, 10);
    *gave_up_r = rc != 0;
    if (status != 0 || rc > 1 || rc < 0 ||
        (rc == 1 && !cluster_says(said, "no connection to"))) {
        status =
            cm_err_set(err, CM_ERR_REFUSE, "cut in %s: %s: %.500s", node, step, said);
    }
    free(said);
    return status;
}

static int finish(struct stage *stage, int value, struct cm_err *err)
{
    char *said = NULL;
    int status =
        cluster_chatops(stage, CLUSTER_INI, "run --yes --only store", &said, err);
    if (status > 0) {
        size_t n = strlen(said);
        status = cm_err_set(err, CM_ERR_REFUSE, "the last run: status %d: %s", status,
                            n > 600 ? said + n - 600 : said);
    }
    free(said);
    if (status != 0 ||
        scene_sh(&stage->scene, "store", 0, NULL, err,
                 "test \"$(postconf -F -h smtps/inet/process_limit)\" = %d",
                 value) != 0) {
        return -1;
    }
    return scenario_ini_back(stage, err);
}

/* steps: lines "NODE|STEP"; is cut in pieces. */
static int drop_in_each(struct stage *stage, char *steps, const char *words,
                        struct cm_err *err)
{
    unsigned n = 0, gave_up = 0;
    char *save = NULL;
    if (scenario_ini_keep(stage, err) != 0) {
        return -1;
    }
    for (char *l = strtok_r(steps, "\n", &save); l != NULL && n < STEPS_MAX;
         l = strtok_r(NULL, "\n", &save)) {
        char *step = strchr(l, '|');
        bool gave = false;
        if (step == NULL) {
            continue;
        }
        *step++ = '\0';
        if (scenario_ini_connections(stage, VALUE + (int)n, err) != 0 ||
            run_and_drop(stage, l, step, words, &gave, err) != 0) {
            return -1;
        }
        n++;
        gave_up += gave;
    }
    if (n == 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "there was no step to cut");
    }
    stage_note(stage, "cut in %u steps, %u runs gave up there", n, gave_up);
    return finish(stage, VALUE + (int)n - 1, err);
}

int scenario_ssh_dropped(struct stage *stage, struct cm_err *err)
{
    char steps[] = "store|configuration files\nstore|postfix@-.service\n";
    return drop_in_each(stage, steps, "--only store", err);
}

/* Leaves about QUICK of the lines, evenly. */
static void thin_out(char *steps)
{
    size_t count = 0, i = 0;
    for (const char *p = steps; (p = strchr(p, '\n')) != NULL; p++) {
        count++;
    }
    size_t every = count > QUICK ? count / QUICK : 1;
    char *to = steps;
    for (char *l = steps; *l != '\0'; i++) {
        size_t n = strcspn(l, "\n") + 1;
        n -= l[n - 1] == '\0';
        if (i % every == every / 2) {
            memmove(to, l, n);
            to += n;
        }
        l += n;
    }
    *to = '\0';
}

int scenario_ssh_dropped_each(struct stage *stage, struct cm_err *err)
{
    char *steps = NULL;
    if (scene_sh(&stage->scene, "operator", 120, &steps, err,
                 "cd " CLUSTER_DIR " && : >.chatops/journal.jsonl && chatops run --yes"
                 " --config " CLUSTER_INI
                 " >/dev/null && sed -n 's/.*\"event\":\"start\","
                 "\"node\":\"\\([^\"]*\\)\",\"step\":\"\\([^\"]*\\)\".*/\\1|\\2/p'"
                 " .chatops/journal.jsonl") != 0) {
        return -1;
    }
    if (stage->quick) {
        thin_out(steps);
    }
    int rc = drop_in_each(stage, steps, "", err);
    free(steps);
    return rc;
}
