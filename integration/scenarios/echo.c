/* The echo bot is switched on, talked to by a real client, killed, and switched off. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "chat/chat.h"
#include "cluster.h"
#include "common/mem.h"
#include "probe/mail.h"
#include "unit.h"

#define CORE      "/usr/local/bin/deltachat-rpc-server" /* in node operator */
#define LINK      "/var/lib/chatmail-echo/invite-link.txt"
#define UNIT      "chatmail-echo.service"
#define LINK_S    90
#define JOIN_MS   60000
#define BACK_MS   60000
#define AGAIN_MS  120000 /* after a kill or a restart of what lies below */
#define NUDGE_MS  3000
#define UP_MS     15000
#define PICTURE   "/var/tmp/echo-picture.bin" /* in node client */
#define PICTURE_N "echo-picture.bin"

/* ---- chatops ---- */

static int run_says(struct stage *stage, const char *words, const char *what,
                    struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, words, &said, err);
    if (status < 0) {
        return -1;
    }
    size_t n = strlen(said);
    int rc = status != 0 ? cm_err_set(err, CM_ERR_REFUSE, "chatops %s: status %d: %s",
                                      words, status, n > 600 ? said + n - 600 : said)
             : strstr(said, what) == NULL
                 ? cm_err_set(err, CM_ERR_REFUSE, "chatops %s does not say '%s': %s",
                              words, what, n > 600 ? said + n - 600 : said)
                 : 0;
    free(said);
    return rc;
}

static int switch_on(struct stage *stage, char **link_r, struct cm_err *err)
{
    if (scene_sh(&stage->scene, "operator", 0, NULL, err,
                 "cd " CLUSTER_DIR " && sed -i -e '/^echo_core *=/d'"
                 " -e '/^\\[store\\]/a echo_core = " CORE "' " CLUSTER_INI) != 0 ||
        run_says(stage, "run --yes", "is up", err) != 0 ||
        scene_until(&stage->scene, "store", LINK_S, err, "test -s " LINK) != 0 ||
        scene_sh(&stage->scene, "store", 0, link_r, err,
                 "runuser -u nobody -- cat " LINK) != 0) {
        return cm_err_prefix(err, "switched on");
    }
    (*link_r)[strcspn(*link_r, "\n")] = '\0';
    if (run_says(stage, "run --yes", "nothing to change", err) != 0 ||
        run_says(stage, "status", *link_r, err) != 0) {
        return -1;
    }
    return 0;
}

int scenario_echo_off(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(stage, "operator", NULL, &said, err,
                           "cd " CLUSTER_DIR " && grep -q '^echo_core *=' " CLUSTER_INI
                           " && sed -i '/^echo_core *=/d' " CLUSTER_INI);
    free(said);
    if (status != 0) {
        return status > 0 ? 0 : -1;
    }
    if (run_says(stage, "run --yes", "is up", err) != 0) {
        return cm_err_prefix(err, "switched off");
    }
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "! systemctl -q is-active " UNIT
                    " && ! systemctl -q is-enabled " UNIT
                    " && ! systemctl -q is-active chatmail-metrics@echo.socket"
                    " && ! pgrep -u chatmail-echo");
}

/* ---- talking ---- */

static int text_back(struct stage *stage, const struct chat_end *me, int64_t limit_ms,
                     const char *when, struct cm_err *err)
{
    char text[17];
    int64_t ms = 0;
    mail_random(text, sizeof text);
    /* What is sent is heard by the bot, and what is heard is what it sends. */
    if (chat_deliver(me, me, text, limit_ms, &ms, err) != 0) {
        return cm_err_prefix(err, "%s", when);
    }
    stage_sleep_ms(1500); /* the core sends one message a second */
    if (chat_count(me->client, me->account, text) != 1) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s: \"%s\" came more than once", when,
                          text);
    }
    stage_note(stage, "%s %.1f s", when, (double)ms / 1000);
    return 0;
}

static int file_back(struct stage *stage, const struct chat_end *me, struct cm_err *err)
{
    char path[512];
    if (scene_sh(&stage->scene, "client", 0, NULL, err,
                 "head -c 300000 /dev/urandom >" PICTURE) != 0 ||
        chat_send_file(me, PICTURE, err) != 0) {
        return -1;
    }
    int rc = chat_wait_file(me->client, me->account, PICTURE_N, BACK_MS, path, err);
    if (rc <= 0) {
        return rc < 0 ? -1
                      : cm_err_set(err, CM_ERR_REFUSE, "the file did not come back");
    }
    return scene_sh(&stage->scene, "client", 0, NULL, err, "cmp " PICTURE " '%s'",
                    path);
}

static int help_is_one_line(const struct chat_end *me, struct cm_err *err)
{
    struct chat_message message;
    int64_t sent;
    if (chat_send(me, "/help", &sent, err) != 0) {
        return -1;
    }
    int rc = chat_wait_text(me->client, me->account,
                            "Everything you send here comes back to you.", BACK_MS,
                            &message, err);
    return rc == 1 ? 0 : rc < 0 ? -1 : cm_err_set(err, CM_ERR_REFUSE, "no help came");
}

/* ---- kills ---- */

/* Our own core would wait for a minute before it looks at the network, and does so when
 * it is told to; the bot tells its core by itself. */
static int back_after_restart(struct stage *stage, const struct chat_end *me,
                              struct cm_err *err)
{
    struct chat_message message;
    int64_t sent, start = cm_now_mono_ms();
    char text[17];
    int rc;
    mail_random(text, sizeof text);
    if (chat_send(me, text, &sent, err) != 0) {
        return -1;
    }
    do {
        rc = chat_maybe_network(me->client, err);
        rc = rc != 0 ? rc
                     : chat_wait_text(me->client, me->account, text, NUDGE_MS, &message,
                                      err);
    } while (rc == 0 && cm_now_mono_ms() - start < AGAIN_MS);
    if (rc == 1) {
        stage_note(stage, "mail restarted %.1f s",
                   (double)(cm_now_mono_ms() - start) / 1000);
        return 0;
    }
    return rc < 0 ? -1
                  : cm_err_set(err, CM_ERR_REFUSE,
                               "mail restarted: \"%s\" did not come", text);
}

/* It is not ours, but it is what the bot costs. */
static int note_core(struct stage *stage, struct cm_err *err)
{
    char *text = NULL;
    if (scene_sh(&stage->scene, "store", 0, &text, err,
                 "awk '/^Pss:/ { print $2 }' /proc/$(pgrep -o -u chatmail-echo -f"
                 " deltachat-rpc-server)/smaps_rollup") != 0) {
        return -1;
    }
    stage_note(stage, "the chat core holds %.1f MB", strtod(text, NULL) * 1024 / 1e6);
    free(text);
    return 0;
}

static int survives(struct stage *stage, const struct chat_end *me, struct cm_err *err)
{
    int64_t ms = 0;
    if (unit_kill(stage, "store", UNIT, UP_MS, &ms, err) != 0 ||
        text_back(stage, me, AGAIN_MS, "bot killed", err) != 0 ||
        scene_sh(&stage->scene, "store", 0, NULL, err,
                 "pkill -KILL -u chatmail-echo -f deltachat-rpc-server") != 0 ||
        text_back(stage, me, AGAIN_MS, "core killed", err) != 0 ||
        note_core(stage, err) != 0) {
        return -1;
    }
    if (stage->quick) { /* cores wait for half a minute before they come back */
        return 0;
    }
    return scene_sh(&stage->scene, "store", 60, NULL, err,
                    "systemctl restart dovecot postfix@-") != 0
               ? -1
               : back_after_restart(stage, me, err);
}

static int talk(struct stage *stage, struct chat_end *me, const char *link,
                struct cm_err *err)
{
    int64_t ms = 0;
    if (chat_scan(me, link, JOIN_MS, &ms, err) != 0) {
        return cm_err_prefix(err, "securejoin");
    }
    stage_note(stage, "joined in %.1f s", (double)ms / 1000);
    stage_sleep_ms(1500);
    if (text_back(stage, me, BACK_MS, "text", err) != 0 ||
        file_back(stage, me, err) != 0 || help_is_one_line(me, err) != 0) {
        return -1;
    }
    return survives(stage, me, err);
}

int scenario_echo(struct stage *stage, struct cm_err *err)
{
    char *link = NULL;
    struct chat_end me;
    if (switch_on(stage, &link, err) != 0) {
        free(link);
        return -1;
    }
    struct chat_client *client = scene_chat(&stage->scene, "client", err);
    int rc = client == NULL
                 ? -1
                 : scene_chat_account(client, SCENE_DOMAIN,
                                      lab_address("edge1", AF_INET), &me, err);
    rc = rc == 0 ? talk(stage, &me, link, err) : rc;
    chat_close(&client);
    free(link);
    return rc == 0 ? scenario_echo_off(stage, err) : -1;
}
