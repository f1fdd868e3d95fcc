/* A machine becomes a gateway by a line pasted into its console, without SSH: edge2 is
 * taken out and wiped, invited as edge3, shows its fingerprint, waits, is accepted and
 * serves; is adopted by SSH, with the key and the epoch it has; then it comes back by
 * `gateway add`. All print what they measured. */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cluster.h"
#include "common/clock.h"
#include "common/mem.h"
#include "door.h"

#define KEPT       "/root/chat/chatmail.ini.enrol"
#define EDGE2      "203.0.113.12"
#define OTHER_KEY  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PRINT      "Its fingerprint: "
#define PRINT_LEN  24
#define TOKEN_LEN  24
#define SERVING_MS 30000
#define SHOW_KEY   "wg show wg0 public-key"

static int chatops(struct stage *stage, const char *words, char **said_r,
                   struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, words, &said, err);
    if (status > 0) {
        size_t len = strlen(said);
        cm_err_set(err, CM_ERR_REFUSE, "chatops %s: status %d: %s", words, status,
                   said + (len > 700 ? len - 700 : 0));
    }
    if (status == 0 && said_r != NULL) {
        *said_r = said;
    } else {
        free(said);
    }
    return status == 0 ? 0 : -1;
}

/* What nobody minds when there is nothing to undo. */
static void try_chatops(struct stage *stage, const char *words)
{
    struct cm_err ignored;
    char *said = NULL;
    if (cluster_chatops(stage, CLUSTER_INI, words, &said, &ignored) >= 0) {
        free(said);
    }
}

int scenario_enrol_back(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(stage, "operator", NULL, &said, err, "test -e " KEPT);
    free(said);
    if (status != 0) {
        return status > 0 ? 0 : -1;
    }
    try_chatops(stage, "gateway reject edge3");
    try_chatops(stage, "gateway remove edge3 --for 0 --force");
    if (scene_sh(&stage->scene, "operator", 0, NULL, err,
                 "cp -p " KEPT " " CLUSTER_DIR "/" CLUSTER_INI) != 0 ||
        chatops(stage, "run --yes", NULL, err) != 0 ||
        cluster_until_well(stage, SERVING_MS, NULL, err) != 0) {
        return -1;
    }
    return scene_sh(&stage->scene, "operator", 0, NULL, err, "rm -f " KEPT);
}

/* As a provider hands it out: nothing of ours, and no curl. */
static int wipe(struct stage *stage, struct cm_err *err)
{
    return scene_sh(
        &stage->scene, "edge2", 120, NULL, err,
        "systemctl -q disable --now chatmail-gateway chatmail-tunnel@wg0;"
        " systemctl stop chatmail-proxy 2>/dev/null;"
        " DEBIAN_FRONTEND=noninteractive apt-get -qqy purge portico-gateway curl"
        " >/dev/null 2>&1; nft delete table inet chatmail 2>/dev/null;"
        " rm -rf /etc/chatmail /var/lib/portico /var/cache/portico"
        " /etc/sysctl.d/60-chatmail.conf; ! command -v chatmail-gateway curl");
}

static int invite(struct stage *stage, char **line_r, struct cm_err *err)
{
    char *said = NULL;
    if (chatops(stage, "gateway invite edge3 --for 1h --json", &said, err) != 0) {
        return -1;
    }
    json_t *o = json_loads(said, JSON_DISABLE_EOF_CHECK, NULL);
    const char *line =
        json_string_value(json_object_get(json_object_get(o, "data"), "line"));
    int rc = line != NULL
                 ? 0
                 : cm_err_set(err, CM_ERR_REFUSE, "invite printed: %.300s", said);
    if (rc == 0) {
        *line_r = cm_strdup(line);
    }
    json_decref(o);
    free(said);
    return rc;
}

static int paste(struct stage *stage, const char *line, char print[PRINT_LEN + 1],
                 struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(stage, "edge2", line, &said, err, "sh");
    const char *at = said != NULL ? strstr(said, PRINT) : NULL;
    if (status == 0 && at != NULL && strlen(at) > strlen(PRINT) + PRINT_LEN) {
        memcpy(print, at + strlen(PRINT), PRINT_LEN);
        print[PRINT_LEN] = '\0';
    } else if (status >= 0) {
        status =
            cm_err_set(err, CM_ERR_REFUSE, "the line, status %d: %.600s", status, said);
    }
    free(said);
    return status;
}

/* The line is secret and in nobody's arguments; its token is its first word. Asked from
 * elsewhere: HTTP's status. */
static int knock(struct stage *stage, const char *line, const char *path,
                 const char *more, long want, struct cm_err *err)
{
    char token[TOKEN_LEN + 1] = "", *said = NULL;
    if (strncmp(line, "t=", 2) == 0) {
        memcpy(token, line + 2, TOKEN_LEN);
    }
    char *header = cm_asprintf("X-Portico-Token: %s\n", token);
    int status = stage_ask(stage, "client", header, &said, err,
                           "cat >/run/token; echo " OTHER_KEY
                           " >/run/join; curl -sk -o /dev/null -w '%%{http_code}'"
                           " -H @/run/token %s https://198.51.100.11/enrol/%s;"
                           " rm -f /run/token /run/join",
                           more, path);
    if (status >= 0 && strtol(said, NULL, 10) != want) {
        status = cm_err_set(err, CM_ERR_REFUSE, "/enrol/%s: %.100s, not %ld", path,
                            said, want);
    }
    free(header);
    free(said);
    return status < 0 ? -1 : 0;
}

static int list_has(struct stage *stage, const char *state, const char *part,
                    struct cm_err *err)
{
    char *said = NULL;
    if (chatops(stage, "gateway list", &said, err) != 0) {
        return -1;
    }
    const char *row = strstr(said, "edge3");
    int rc =
        row != NULL && strstr(row, state) != NULL && strstr(row, part) != NULL
            ? 0
            : cm_err_set(err, CM_ERR_REFUSE,
                         "gateway list has no edge3 that is %s with \"%s\": %.600s",
                         state, part, said);
    free(said);
    return rc;
}

/* ---- what was measured ---- */

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

/* The operator sits behind the home router, which has IPv4 and lets no port 25 out. */
static int judge_view(struct stage *stage, const char *verb, const json_t *view,
                      struct cm_err *err)
{
    const json_t *mtu = json_object_get(view, "mtu");
    long long through = json_integer_value(json_object_get(view, "store_us")),
              gateway = json_integer_value(json_object_get(view, "gateway_us"));
    size_t open = json_array_size(json_object_get(view, "ports_open"));
    if (strcmp(text_of(view, "store_saw"), SCENE_HOME_PUBLIC) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s: the store saw \"%s\"", verb,
                          text_of(view, "store_saw"));
    }
    if (!json_is_true(json_object_get(mtu, "full")) || open < 6 || through <= 0 ||
        gateway <= 0) {
        char *text = json_dumps(view, JSON_COMPACT);
        cm_err_set(err, CM_ERR_REFUSE, "%s measured: %.600s", verb, text);
        free(text);
        return -1;
    }
    stage_note(stage, "%s: %zu ports, %.1f ms through, %.1f ms to it, segments of %lld",
               verb, open, (double)through / 1000, (double)gateway / 1000,
               (long long)json_integer_value(json_object_get(mtu, "segment_out")));
    return 0;
}

static int judge_measured(struct stage *stage, const char *verb, const char *said,
                          struct cm_err *err)
{
    const char *at = strstr(said, "{\"result\":");
    json_t *o = json_loads(at != NULL ? at : "", JSON_DISABLE_EOF_CHECK, NULL), *view;
    size_t i, seen = 0;
    int rc = 0;
    json_array_foreach(json_object_get(o, "measured"), i, view)
    {
        if (rc == 0 && strcmp(text_of(view, "address"), EDGE2) == 0) {
            rc = judge_view(stage, verb, view, err);
            seen++;
        }
    }
    if (rc == 0 && (seen != 1 || json_array_size(json_object_get(o, "dns")) < 2)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "%s: no measurement of " EDGE2 ": %.500s",
                        verb, at != NULL ? at : said);
    }
    json_decref(o);
    return rc;
}

/* ---- the play ---- */

static int becomes(struct stage *stage, const char *words, const char *verb,
                   const struct scene_account *account, struct cm_err *err)
{
    struct door door = door_at("edge2", AF_INET, 993, true);
    char *said = NULL;
    if (chatops(stage, words, &said, err) != 0) {
        return -1;
    }
    int rc = judge_measured(stage, verb, said, err);
    free(said);
    return rc != 0 ? -1
                   : door_until_in(stage, &door, account, cm_now_mono_ms(), SERVING_MS,
                                   NULL, err);
}

static int by_invite(struct stage *stage, const struct scene_account *account,
                     const char *line, struct cm_err *err)
{
    char print[PRINT_LEN + 1] = "";
    if (list_has(stage, "invited", "good until", err) != 0 ||
        paste(stage, line, print, err) != 0 ||
        list_has(stage, "waiting", print, err) != 0 ||
        knock(stage, line, "join", "--data-binary @/run/join", 409, err) != 0 ||
        becomes(stage, "gateway accept edge3 --yes --json", "accept", account, err) !=
            0) {
        return -1;
    }
    return list_has(stage, "up", EDGE2, err) != 0 ||
                   knock(stage, line, "script", "", 404, err) != 0
               ? -1
               : 0;
}

/* One that may be reached by SSH after all: nothing of the tunnel or of the desired
 * state changes, and a run looks after it like after any other. */
static int is_adopted(struct stage *stage, const struct scene_account *account,
                      struct cm_err *err)
{
    struct cluster_status before, after;
    char *keys[2] = {NULL, NULL}, *said = NULL;
    int rc =
        list_has(stage, "up", "no ssh:", err) != 0 ||
                cluster_ask(stage, &before, err) != 0 ||
                scene_sh(&stage->scene, "edge2", 0, &keys[0], err, SHOW_KEY) != 0 ||
                becomes(stage, "gateway add edge3 --ssh root@" EDGE2 " --yes --json",
                        "adopt", account, err) != 0 ||
                scene_sh(&stage->scene, "edge2", 0, &keys[1], err, SHOW_KEY) != 0 ||
                cluster_ask(stage, &after, err) != 0 ||
                chatops(stage, "run --yes", &said, err) != 0
            ? -1
            : 0;
    if (rc == 0 && (strcmp(keys[0], keys[1]) != 0 || before.epoch != after.epoch ||
                    cluster_says(said, "has no ssh"))) {
        rc = cm_err_set(err, CM_ERR_REFUSE,
                        "adopted: key %s, then %s; epoch %lld, then %lld; run: %.300s",
                        keys[0], keys[1], (long long)before.epoch,
                        (long long)after.epoch, said);
    }
    free(keys[0]);
    free(keys[1]);
    free(said);
    return rc;
}

int scenario_enrol(struct stage *stage, struct cm_err *err)
{
    struct scene_account account;
    char *line = NULL;
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0 ||
        scene_sh(&stage->scene, "operator", 0, NULL, err,
                 "cp -p " CLUSTER_DIR "/" CLUSTER_INI " " KEPT) != 0 ||
        chatops(stage, "gateway remove edge2 --for 0", NULL, err) != 0 ||
        wipe(stage, err) != 0 || invite(stage, &line, err) != 0) {
        return -1;
    }
    int rc = by_invite(stage, &account, line, err);
    cm_wipe_str(&line);
    if (rc != 0 || is_adopted(stage, &account, err) != 0 ||
        chatops(stage, "gateway remove edge3 --for 0", NULL, err) != 0) {
        return -1;
    }
    return becomes(stage,
                   "gateway add edge2 --ssh root@" EDGE2 " --addresses '" EDGE2
                   " 2001:db8:2::12' --number 2 --yes --json",
                   "add", &account, err);
}
