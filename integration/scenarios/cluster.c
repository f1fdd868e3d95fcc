#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/clock.h"

#define FRESH_MS    6000
#define HANDSHAKE_S 200 /* WireGuard makes a new one every two minutes */

static int64_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : -1;
}

static void text(const json_t *object, const char *key, char *out, size_t size)
{
    const char *value = json_string_value(json_object_get(object, key));
    snprintf(out, size, "%s", value != NULL ? value : "");
}

static void take_gateway(const json_t *from, struct cluster_gateway *to)
{
    text(from, "name", to->name, sizeof to->name);
    text(from, "mode", to->mode, sizeof to->mode);
    text(from, "applied_mode", to->applied_mode, sizeof to->applied_mode);
    text(from, "error", to->error, sizeof to->error);
    to->applied_epoch = number(from, "applied_epoch");
    to->report_age_ms = number(from, "report_age_ms");
    to->handshake_age_s = number(from, "handshake_age_s");
}

int cluster_parse(const char *line, struct cluster_status *status_r, struct cm_err *err)
{
    json_error_t why;
    json_t *root = json_loads(line, 0, &why);
    const json_t *gateways = json_object_get(root, "gateways");
    if (!json_is_array(gateways) || number(root, "epoch") < 0 ||
        json_array_size(gateways) > CLUSTER_GATEWAYS_MAX) {
        json_decref(root);
        return cm_err_set(err, CM_ERR_REFUSE, "not a status of the cluster: %.200s",
                          line);
    }
    *status_r = (struct cluster_status){.epoch = number(root, "epoch")};
    for (size_t i = 0; i < json_array_size(gateways); i++) {
        take_gateway(json_array_get(gateways, i),
                     &status_r->gateways[status_r->count++]);
    }
    json_decref(root);
    return 0;
}

static int judge_gateway(const struct cluster_status *status,
                         const struct cluster_gateway *g, struct cm_err *err)
{
    if (g->error[0] != '\0') {
        return cm_err_set(err, CM_ERR_RETRY, "%s reports: %s", g->name, g->error);
    }
    if (g->applied_epoch != status->epoch || strcmp(g->applied_mode, g->mode) != 0) {
        return cm_err_set(err, CM_ERR_RETRY,
                          "%s has epoch %lld (%s), wanted is %lld (%s)", g->name,
                          (long long)g->applied_epoch, g->applied_mode,
                          (long long)status->epoch, g->mode);
    }
    if (g->report_age_ms < 0 || g->report_age_ms > FRESH_MS) {
        return cm_err_set(err, CM_ERR_RETRY, "%s: its last report is %lld ms old",
                          g->name, (long long)g->report_age_ms);
    }
    if (g->handshake_age_s < 0 || g->handshake_age_s > HANDSHAKE_S) {
        return cm_err_set(err, CM_ERR_RETRY, "%s: last handshake %lld s ago", g->name,
                          (long long)g->handshake_age_s);
    }
    return 0;
}

int cluster_judge(const struct cluster_status *status, struct cm_err *err)
{
    if (status->epoch < 1 || status->count != 2) {
        return cm_err_set(err, CM_ERR_RETRY, "epoch %lld with %zu gateways, not 2",
                          (long long)status->epoch, status->count);
    }
    for (size_t i = 0; i < status->count; i++) {
        if (judge_gateway(status, &status->gateways[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

int cluster_ask(struct stage *stage, struct cluster_status *status_r,
                struct cm_err *err)
{
    char *line = NULL;
    if (scene_sh(&stage->scene, "store", 20, &line, err,
                 "chatmail-cluster ctl status") != 0) {
        return -1;
    }
    int rc = cluster_parse(line, status_r, err);
    free(line);
    return rc;
}

int cluster_until_well(struct stage *stage, int64_t limit_ms,
                       struct cluster_status *status_r, struct cm_err *err)
{
    struct cluster_status status;
    int64_t until = cm_now_mono_ms() + limit_ms;
    while (cluster_ask(stage, &status, err) != 0 || cluster_judge(&status, err) != 0) {
        if (cm_now_mono_ms() > until) {
            return cm_err_prefix(err, "not well after %lld s",
                                 (long long)(limit_ms / 1000));
        }
        stage_sleep_ms(500);
    }
    if (status_r != NULL) {
        *status_r = status;
    }
    return 0;
}

int cluster_chatops(struct stage *stage, const char *ini, const char *words,
                    char **out_r, struct cm_err *err)
{
    return stage_ask(stage, "operator", NULL, out_r, err,
                     "cd " CLUSTER_DIR " && chatops %s --config %s", words, ini);
}

int cluster_rules(struct stage *stage, const char *node, char **rules_r,
                  struct cm_err *err)
{
    return scene_sh(&stage->scene, node, 20, rules_r, err,
                    "nft -s -t list table inet chatmail");
}

static bool begins(const char *said, const char *words)
{
    for (; *words != '\0'; words++) {
        if (*words == ' ') {
            size_t n = strspn(said, " \n");
            if (n == 0) {
                return false;
            }
            said += n;
        } else if (*said++ != *words) {
            return false;
        }
    }
    return true;
}

bool cluster_says(const char *said, const char *words)
{
    for (; *said != '\0'; said++) {
        if (begins(said, words)) {
            return true;
        }
    }
    return *words == '\0';
}

int cluster_ini_back(struct stage *stage, const char *saved, struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(stage, "operator", NULL, &said, err,
                           "cd " CLUSTER_DIR " && test ! -e %s || { cp %s " CLUSTER_INI
                           " && chatops run --yes --config " CLUSTER_INI " && rm %s; }",
                           saved, saved, saved);
    if (status > 0) {
        status = cm_err_set(err, CM_ERR_WORLD, "chatops run: %.300s", said);
    }
    free(said);
    return status;
}
