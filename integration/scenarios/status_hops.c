/* chatops status: all pairs of gateways are well and quick; then the tunnel, Postfix,
 * Dovecot and the filter are broken one after the other, and each time the hop is
 * named. Nothing of the probe is left. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cluster.h"

/* Its metrics socket would start it again. */
#define FILTER                                                                         \
    "chatmail-metrics@filter-out.socket chatmail-filter-out.socket "                   \
    "chatmail-filter-out.service"
#define TABLE    "inet status_hops"
#define SILENT_S "8" /* until its reports are missed */
#define WELL_MS  60000
#define CUT                                                                            \
    "nft -f - <<EOF\ntable " TABLE " {\nchain i {\ntype filter hook input priority "   \
    "-300;\nudp sport != 53 drop\n}\n}\nEOF\nsleep " SILENT_S
#define UNCUT "nft delete table " TABLE " 2>/dev/null || true"

static const struct {
    const char *node, *break_it, *mend, *named;
} hops[] = {
    {"store", "systemctl stop " FILTER, "systemctl start " FILTER, "filter: "},
    {"store", "systemctl stop postfix@-.service", "systemctl start postfix@-.service",
     "Postfix: "},
    {"store", "systemctl stop dovecot.service", "systemctl start dovecot.service",
     "Dovecot IMAP: "},
    {"edge1", CUT, UNCUT, "edge1 -> store tunnel: "},
};

#define HOPS (sizeof(hops) / sizeof(hops[0]))

/* *o_r: what it said; the caller's. *status_r: its exit. */
static int ask(struct stage *stage, json_t **o_r, int *status_r, struct cm_err *err)
{
    char *said = NULL;
    *status_r = cluster_chatops(stage, CLUSTER_INI, "status --json", &said, err);
    json_t *all =
        *status_r >= 0 ? json_loads(said, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    *o_r = json_incref(json_object_get(all, "data"));
    json_decref(all);
    int rc = *status_r < 0  ? -1
             : *o_r == NULL ? cm_err_set(err, CM_ERR_REFUSE, "no JSON (%d): %.300s",
                                         *status_r, said)
                            : 0;
    free(said);
    return rc;
}

static bool is_named(const json_t *o, const char *words, char *all, size_t size)
{
    const json_t *list = json_object_get(o, "wrong");
    size_t used = 0;
    bool found = false;
    all[0] = '\0';
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *line = json_string_value(json_array_get(list, i));
        found = found || strncmp(line, words, strlen(words)) == 0;
        int n = snprintf(all + used, size - used, "%s; ", line);
        used += n > 0 && (size_t)n < size - used ? (size_t)n : 0;
    }
    return found;
}

/* Both ways are there, and done. */
static int pairs_well(struct stage *stage, struct cm_err *err)
{
    char all[700];
    json_t *o;
    int status, rc = ask(stage, &o, &status, err);
    if (rc != 0) {
        return -1;
    }
    const json_t *pairs = json_object_get(json_object_get(o, "probe"), "pairs");
    long long most = 0;
    size_t done = 0;
    for (size_t i = 0; i < json_array_size(pairs); i++) {
        const json_t *p = json_array_get(pairs, i);
        long long ms = json_integer_value(json_object_get(p, "ms"));
        done += json_is_true(json_object_get(p, "ok"));
        most = ms > most ? ms : most;
    }
    if (done != 2 || json_array_size(pairs) != 2) {
        (void)is_named(o, "", all, sizeof(all));
        rc = cm_err_set(err, CM_ERR_REFUSE, "%zu of 2 pairs well: %.500s", done, all);
    } else {
        stage_note(stage, "slowest pair %lld ms", most);
    }
    json_decref(o);
    return rc;
}

static int breaks(struct stage *stage, size_t i, struct cm_err *err)
{
    char all[700];
    json_t *o = NULL;
    int status = 0, rc = scene_sh(&stage->scene, hops[i].node, 0, NULL, err, "%s",
                                  hops[i].break_it);
    if (rc == 0) {
        rc = ask(stage, &o, &status, err);
    }
    if (rc == 0 && (!is_named(o, hops[i].named, all, sizeof(all)) || status != 1)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "\"%s\" is not named (exit %d): %.600s",
                        hops[i].named, status, all);
    }
    json_decref(o);
    struct cm_err after;
    int mended =
        scene_sh(&stage->scene, hops[i].node, 0, NULL, &after, "%s", hops[i].mend);
    if (rc == 0 && mended != 0) {
        *err = after;
    }
    return rc != 0 || mended != 0 ? -1 : 0;
}

static int nothing_left(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "test -z \"$(runuser -u postgres -- psql -XAtqd chatmail -c "
                    "\"select addr from account where addr like 'ci-____________@%%' "
                    "union select addr from account_removal\")\" && "
                    "! ls -d /home/vmail/*/ci-????????????@* 2>/dev/null") != 0
               ? cm_err_prefix(err, "something of the probe is left")
               : 0;
}

int scenario_status_hops(struct stage *stage, struct cm_err *err)
{
    if (pairs_well(stage, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < HOPS; i++) {
        if (breaks(stage, i, err) != 0) {
            return -1;
        }
    }
    return nothing_left(stage, err);
}

int scenario_status_hops_back(struct stage *stage, struct cm_err *err)
{
    for (size_t i = 0; i < HOPS; i++) {
        if (scene_sh(&stage->scene, hops[i].node, 0, NULL, err, "%s", hops[i].mend) !=
            0) {
            return -1;
        }
    }
    return cluster_until_well(stage, WELL_MS, NULL, err);
}
