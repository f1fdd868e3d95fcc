/* Every verb that changes a mode, while edge2 cannot be reached: for the other gateway
 * it does what was asked and says who has not applied it; for edge2 it says why not.
 * Each is over in bounded time, with the right exit status, and what was wanted comes
 * true by itself when edge2 is back. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/clock.h"

#define SILENT_MS   35000 /* after that nobody waits for it (OP_REPORT_LATE_MS) */
#define LIMIT_MS    90000 /* 30 s for each of two waits, and a busy machine */
#define WELL_MS     60000
#define SAVED       "unreachable.saved.ini"
#define OK          0
#define NOT_DONE    1
#define NOT_APPLIED "edge2: no report for "

static const struct {
    const char *words;
    int status;
    const char *says;
} asks[] = {
    {"gateway hold edge1", NOT_DONE, NOT_APPLIED},
    {"gateway resume edge1", NOT_DONE, NOT_APPLIED},
    {"gateway off edge1", NOT_DONE, "edge1 is the last gateway that serves"},
    {"gateway drain edge1 --for 1", NOT_DONE, "edge1 is the last gateway that serves"},
    {"gateway drain edge1 --for 1 --force", NOT_DONE, NOT_APPLIED},
    {"gateway resume edge1", NOT_DONE, NOT_APPLIED},
    {"gateway drain edge2 --for 1", NOT_DONE, "no report for "},
    {"gateway hold edge2", NOT_DONE, "no report for "},
    {"gateway off edge2", NOT_DONE, "no report for "},
    {"gateway resume edge2", NOT_DONE, "no report for "},
    {"gateway rotate edge1 edge2 --for 1", NOT_DONE,
     "edge2 cannot take over: no report"},
};

/* As one line: what chatops says is broken at 80 columns. */
static void unfold(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        bool blank = *from == '\n' || *from == ' ';
        if (!blank || (to > text && to[-1] != ' ')) {
            *to++ = blank ? ' ' : *from;
        }
    }
    *to = '\0';
}

static int ask(struct stage *stage, const char *words, int want, const char *says,
               struct cm_err *err)
{
    char *said = NULL;
    int64_t start = cm_now_mono_ms();
    int status = cluster_chatops(stage, CLUSTER_INI, words, &said, err);
    int64_t ms = cm_now_mono_ms() - start;
    if (status >= 0) {
        unfold(said);
    }
    if (status >= 0 && (status != want || !cluster_says(said, says) || ms > LIMIT_MS)) {
        size_t len = strlen(said);
        cm_err_set(err, CM_ERR_REFUSE,
                   "chatops %s: status %d, not %d with \"%s\", after %.1f s: %s", words,
                   status, want, says, (double)ms / 1000,
                   said + (len > 400 ? len - 400 : 0));
        status = -1;
    }
    free(said);
    return status < 0 ? -1 : 0;
}

static int mode_is(struct stage *stage, const char *name, const char *mode,
                   struct cm_err *err)
{
    struct cluster_status status;
    if (cluster_ask(stage, &status, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < status.count; i++) {
        if (strcmp(status.gateways[i].name, name) == 0) {
            return strcmp(status.gateways[i].mode, mode) == 0
                       ? 0
                       : cm_err_set(err, CM_ERR_REFUSE, "%s shall %s, not %s", name,
                                    status.gateways[i].mode, mode);
        }
    }
    return cm_err_set(err, CM_ERR_REFUSE, "%s is gone", name);
}

/* It hears of all that was decided in its absence. */
static int catches_up(struct stage *stage, struct cm_err *err)
{
    if (ask(stage, "gateway drain edge2 --for 1", NOT_DONE, "no report for ", err) !=
            0 ||
        mode_is(stage, "edge2", "drain", err) != 0 ||
        lab_heal(stage->scene.lab, "edge2", err) != 0 ||
        cluster_until_well(stage, WELL_MS, NULL, err) != 0 ||
        ask(stage, "gateway drain edge2 --for 1", OK, "edge2 is drained", err) != 0 ||
        ask(stage, "gateway resume edge2", OK, "edge2 takes connections", err) != 0) {
        return cm_err_prefix(err, "back again");
    }
    return 0;
}

/* A machine that will not come back. */
static int is_given_up(struct stage *stage, struct cm_err *err)
{
    if (lab_cut(stage->scene.lab, "edge2", err) != 0) {
        return -1;
    }
    stage_sleep_ms(SILENT_MS);
    return ask(stage, "gateway rotate edge2 edge1 --for 1", OK, "edge2 is removed",
               err) != 0 ||
                   ask(stage, "gateway remove edge2 --for 1", OK,
                       "edge2 is removed already", err) != 0
               ? cm_err_prefix(err, "given up")
               : 0;
}

int scenario_unreachable(struct stage *stage, struct cm_err *err)
{
    int64_t start = cm_now_mono_ms();
    if (scene_sh(&stage->scene, "operator", 0, NULL, err,
                 "cd " CLUSTER_DIR " && cp " CLUSTER_INI " " SAVED) != 0 ||
        lab_cut(stage->scene.lab, "edge2", err) != 0) {
        return -1;
    }
    stage_sleep_ms(SILENT_MS);
    for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
        if (ask(stage, asks[i].words, asks[i].status, asks[i].says, err) != 0) {
            return -1;
        }
    }
    stage_note(stage, "%zu verbs in %.0f s", sizeof asks / sizeof asks[0],
               (double)(cm_now_mono_ms() - start - SILENT_MS) / 1000);
    return catches_up(stage, err) != 0 || is_given_up(stage, err) != 0 ||
                   lab_heal(stage->scene.lab, "edge2", err) != 0
               ? -1
               : 0;
}

/* edge2 may be out of the state; a run puts it there again. */
int scenario_unreachable_back(struct stage *stage, struct cm_err *err)
{
    return cluster_ini_back(stage, SAVED, err);
}
