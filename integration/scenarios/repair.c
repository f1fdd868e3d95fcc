/* What is wrong on a node is shown and put right; what does not start is taken back. */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/mem.h"
#include "unit.h"

#define DROPIN "/etc/systemd/system/postfix@-.service.d/zz-scenario.conf"

/* chatops with its words ends with that status and says all of it; texts end with NULL.
 */
static int chatops(struct stage *stage, const char *words, int want,
                   const char *const *texts, struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, words, &said, err);
    if (status < 0) {
        return -1;
    }
    size_t n = strlen(said);
    const char *end = said + (n > 700 ? n - 700 : 0);
    int rc = status == want ? 0
                            : cm_err_set(err, CM_ERR_REFUSE, "%s: status %d: %s", words,
                                         status, end);
    for (; rc == 0 && *texts != NULL; texts++) {
        if (!cluster_says(said, *texts)) {
            rc = cm_err_set(err, CM_ERR_REFUSE, "%s does not say \"%s\": %s", words,
                            *texts, end);
        }
    }
    free(said);
    return rc;
}

static int edit_by_hand(struct stage *stage, struct cm_err *err)
{
    static const struct {
        const char *node, *file, *line;
    } edits[] = {{"store", "/etc/postfix/main.cf", "# by hand on the store"},
                 {"store", "/etc/chatmail-version", "by hand, a version"},
                 {"edge1", "/etc/chatmail/gateway.conf", "# by hand on edge1"},
                 {"edge2", "/etc/sysctl.d/60-chatmail.conf", "# by hand on edge2"}};
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        if (scene_sh(&stage->scene, edits[i].node, 0, NULL, err, "echo '%s' >>%s",
                     edits[i].line, edits[i].file) != 0) {
            return -1;
        }
    }
    return 0;
}

static int by_hand_is(struct stage *stage, const char *node, const char *file,
                      bool there, struct cm_err *err)
{
    return scene_sh(&stage->scene, node, 0, NULL, err, "%s grep -q 'by hand' %s",
                    there ? "" : "!", file) == 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "%s: %s is%s edited", node, file,
                            there ? " not" : "");
}

static int postfix_pid(struct stage *stage, int64_t *pid_r, struct cm_err *err)
{
    return unit_pid(stage, "store", "postfix@-.service", pid_r, err);
}

/* Shown by a dry run, which touches nothing; one gateway alone; then all. */
int scenario_hand_edited(struct stage *stage, struct cm_err *err)
{
    static const char main_cf[] = "/etc/postfix/main.cf";
    static const char gateway_conf[] = "/etc/chatmail/gateway.conf";
    static const char sysctl[] = "/etc/sysctl.d/60-chatmail.conf";
    int64_t before = 0, after = 0;
    if (postfix_pid(stage, &before, err) != 0 || edit_by_hand(stage, err) != 0 ||
        chatops(stage, "run --dry-run", 0,
                (const char *[]){"-# by hand on the store", "-# by hand on edge1",
                                 "-# by hand on edge2", "-by hand, a version",
                                 "nothing was touched", NULL},
                err) != 0 ||
        by_hand_is(stage, "store", main_cf, true, err) != 0 ||
        chatops(stage, "run --yes --only edge1", 0,
                (const char *[]){"edge1 is up", NULL}, err) != 0 ||
        by_hand_is(stage, "edge1", gateway_conf, false, err) != 0 ||
        by_hand_is(stage, "edge2", sysctl, true, err) != 0 ||
        by_hand_is(stage, "store", main_cf, true, err) != 0 ||
        chatops(
            stage, "run --yes", 0,
            (const char *[]){"wrote /etc/postfix/main.cf", "restarted", "is up", NULL},
            err) != 0 ||
        by_hand_is(stage, "edge2", sysctl, false, err) != 0 ||
        by_hand_is(stage, "store", main_cf, false, err) != 0 ||
        postfix_pid(stage, &after, err) != 0) {
        return -1;
    }
    if (before == after) {
        return cm_err_set(err, CM_ERR_REFUSE, "Postfix runs with what was edited");
    }
    return chatops(stage, "run --dry-run", 0,
                   (const char *[]){"nothing to change", NULL}, err);
}

int scenario_hand_edited_back(struct stage *stage, struct cm_err *err)
{
    return chatops(stage, "run --yes", 0, (const char *[]){NULL}, err);
}

/* ---- what does not start ---- */

static int postfix_has(struct stage *stage, const char *limit, struct cm_err *err)
{
    return scene_sh(
        &stage->scene, "store", 0, NULL, err,
        "systemctl -q is-active postfix@-.service && test \"$(postconf -F -h"
        " smtps/inet/process_limit)\" = %s && postfix status",
        limit);
}

/* Postfix that starts with anything but 777 processes. */
static int forbid_777(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "printf '[Service]\\nExecStartPre=/bin/sh -c \"! grep -q 777"
                    " /etc/postfix/master.cf\"\\n' >" DROPIN
                    "; systemctl daemon-reload");
}

static int journal_ends_well(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "operator", 0, NULL, err,
                    "cd " CLUSTER_DIR
                    "/.chatops && tail -n 2 journal.jsonl | head -n 1 |"
                    " grep '\"undo\"' | grep -q '\"result\":\"ok\"' &&"
                    " tail -n 1 journal.jsonl | grep '\"run-end\"' | grep -q failed");
}

int scenario_taken_back(struct stage *stage, struct cm_err *err)
{
    char *before = NULL;
    int rc = -1;
    if (scene_sh(&stage->scene, "store", 0, &before, err,
                 "postconf -F -h smtps/inet/process_limit") != 0) {
        return -1;
    }
    before[strcspn(before, "\n")] = '\0';
    if (forbid_777(stage, err) == 0 && scenario_ini_keep(stage, err) == 0 &&
        scenario_ini_connections(stage, 777, err) == 0 &&
        chatops(stage, "run --yes", 1,
                (const char *[]){"postfix@-.service", "taken back", "it runs", NULL},
                err) == 0 &&
        postfix_has(stage, before, err) == 0 && journal_ends_well(stage, err) == 0 &&
        scene_sh(&stage->scene, "store", 0, NULL, err, "rm " DROPIN) == 0 &&
        chatops(stage, "run --yes --only store", 0, (const char *[]){"is up", NULL},
                err) == 0) {
        rc = postfix_has(stage, "777", err);
    }
    free(before);
    return rc == 0 ? scenario_taken_back_over(stage, err) : -1;
}

int scenario_taken_back_over(struct stage *stage, struct cm_err *err)
{
    if (scene_sh(&stage->scene, "store", 0, NULL, err,
                 "test ! -e " DROPIN " || { rm -f " DROPIN
                 "; systemctl daemon-reload; }") != 0) {
        return -1;
    }
    return scenario_ini_back(stage, err);
}

/* ---- mail off ---- */

static int door(struct stage *stage, int port, bool open, struct cm_err *err)
{
    return scene_sh(
               &stage->scene, "client", 10, NULL, err,
               "%s timeout 5 bash -c 'exec 3<>/dev/tcp/198.51.100.11/%d' 2>/dev/null",
               open ? "" : "!", port) == 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "port %d is %s", port,
                            open ? "closed" : "open");
}

/* Mail is refused and all else goes on; pages alone; and mail comes back. */
int scenario_mail_off(struct stage *stage, struct cm_err *err)
{
    if (chatops(stage, "run --yes --disable-mail", 0,
                (const char *[]){"mail is switched off", NULL}, err) != 0 ||
        door(stage, 993, false, err) != 0 || door(stage, 25, false, err) != 0 ||
        door(stage, 443, true, err) != 0 ||
        chatops(stage, "run --yes --disable-mail", 0,
                (const char *[]){"nothing to change", NULL}, err) != 0 ||
        scene_sh(&stage->scene, "store", 0, NULL, err,
                 "echo x >>/var/www/html/index.html") != 0 ||
        chatops(stage, "run --yes --website-only", 0,
                (const char *[]){"index.html", "the web pages of", NULL}, err) != 0 ||
        door(stage, 993, false, err) != 0 ||
        chatops(stage, "run --yes", 0, (const char *[]){"is up", NULL}, err) != 0 ||
        door(stage, 993, true, err) != 0 || door(stage, 25, true, err) != 0) {
        return -1;
    }
    return chatops(stage, "run --yes --only nosuch", 2,
                   (const char *[]){"store", "edge1", "edge2", NULL}, err);
}

int scenario_mail_on(struct stage *stage, struct cm_err *err)
{
    return chatops(stage, "run --yes", 0, (const char *[]){NULL}, err);
}
