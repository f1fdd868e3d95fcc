/* A desired state that cuts both gateways off from the store, with a WireGuard key that
 * the store has not: they go back to the former one by themselves and say so; chatops
 * run publishes a right one, which is taken at once. */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/clock.h"
#include "door.h"

#define BAD_KEY "RURHRTFLRVlFREdFMUtFWUVER0UxS0VZRURHRTFLRVk="
#define BACK_MS 75000
#define WELL_MS 30000
#define DOCUMENT                                                                       \
    "runuser -u postgres -- psql -qtAX -d chatmail -c \"select split_part(envelope, "  \
    "E'\\\\n', 2) from desired_state order by epoch desc limit 1\""

static int run(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, "run --yes", &said, err);
    if (status > 0) {
        status = cm_err_set(err, CM_ERR_REFUSE, "chatops run: %.400s", said);
    }
    free(said);
    return status;
}

int scenario_bad_epoch_back(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int bad = stage_ask(stage, "store", NULL, &said, err,
                        DOCUMENT " | grep -q '" BAD_KEY "'");
    free(said);
    return bad == 0 ? run(stage, err) : bad < 0 ? -1 : 0;
}

static int publish_bad(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    DOCUMENT " | sed -e 's/\"epoch\":[0-9]*/\"epoch\":0/'"
                             " -e 's|\"store_wg_public_key\":\"[^\"]*\"|"
                             "\"store_wg_public_key\":\"" BAD_KEY "\"|'"
                             " | chatmail-cluster ctl publish");
}

/* Both report the former epoch and why, to the store that they had lost. */
static int await_revert(struct stage *stage, int64_t former, int64_t *ms_r,
                        struct cm_err *err)
{
    int64_t start = cm_now_mono_ms();
    while (cm_now_mono_ms() - start < BACK_MS) {
        struct cluster_status status;
        size_t back = 0;
        if (cluster_ask(stage, &status, err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < status.count; i++) {
            const struct cluster_gateway *g = &status.gateways[i];
            back += g->applied_epoch == former && g->report_age_ms < 3000 &&
                    strstr(g->error, "cut us off from the store") != NULL;
        }
        if (back == status.count && back > 0) {
            *ms_r = cm_now_mono_ms() - start;
            return 0;
        }
        stage_sleep_ms(500);
    }
    return cm_err_set(err, CM_ERR_REFUSE, "not both gateways went back within %d s",
                      BACK_MS / 1000);
}

static int is_said(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, "status", &said, err);
    int rc = status < 0 ? -1 : 0;
    if (rc == 0 && (status == 0 || strstr(said, "was taken back") == NULL)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "chatops status does not say it: %.600s",
                        said);
    }
    free(said);
    return rc;
}

int scenario_bad_epoch(struct stage *stage, struct cm_err *err)
{
    struct scene_account account;
    struct cluster_status before;
    struct door doors[] = {door_at("edge1", AF_INET, 993, true),
                           door_at("edge2", AF_INET6, 465, false)};
    int64_t ms = 0;
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0 ||
        cluster_ask(stage, &before, err) != 0 || publish_bad(stage, err) != 0 ||
        await_revert(stage, before.epoch, &ms, err) != 0 || is_said(stage, err) != 0) {
        return -1;
    }
    stage_note(stage, "both back at epoch %lld after %.0f s", (long long)before.epoch,
               (double)ms / 1000);
    for (size_t i = 0; i < 2; i++) {
        if (door_until_in(stage, &doors[i], &account, cm_now_mono_ms(), WELL_MS, NULL,
                          err) != 0) {
            return cm_err_prefix(err, "under the former document");
        }
    }
    if (run(stage, err) != 0 || cluster_until_well(stage, WELL_MS, NULL, err) != 0) {
        return cm_err_prefix(err, "a right document");
    }
    return door_must_let_in(stage, &doors[0], &account, err);
}
