/* An upgrade of Dovecot that our plugins do not fit (docs/dovecot-plugin.md): mail goes
 * on without them, chatops status says so, and all is as before when the right ones are
 * back.
 *
 * There is no other Dovecot to upgrade to, so the plugins are made those of another:
 * their own bytes, but for the version that Dovecot compares. What dpkg runs at the end
 * of an upgrade of dovecot-imapd is run by dpkg. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "cluster.h"
#include "door.h"
#include "mailbox.h"
#include "stream.h"
#include "sweep/sweep.h"
#include "unit.h"

#define MODULES   "/usr/lib/dovecot/modules"
#define KEPT      "/var/tmp/chatmail-plugins"
#define GLUE      "/usr/lib/portico/dovecot-plugin"
#define ROUNDS    4
#define DELAY_MS  700 /* after the client's last activity */
#define LOST_MS   6000
#define BACK_MS   10000
#define SETTLE_MS 60000 /* imap processes from before end */
#define EVEN_MS   30000

struct talk {
    struct stage *stage;
    struct scene_account reader;
    struct door door;
    struct stream_lane mail;
    struct ledger ledger;
};

int scenario_dovecot_plugins_back(struct stage *stage, struct cm_err *err)
{
    /* As the postinst of portico-store does. */
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "test -d " KEPT " || exit 0; set -e; mv " KEPT "/*.so " MODULES
                    "/; rmdir " KEPT "; " GLUE " reload");
}

/* Plugins of a Dovecot 9. Renamed into place, because Dovecot has the others mapped. */
static int misfit(struct stage *stage, struct cm_err *err)
{
    return scene_sh(
        &stage->scene, "store", 0, NULL, err,
        "set -e; mkdir " KEPT "; cd " MODULES
        "; for f in lib20_chatmail_*_plugin.so; do"
        " cp -p $f " KEPT "/; abi=$(grep -a -o -m1 '[0-9.]*ABIv[0-9]*([0-9.]*)' $f);"
        " LC_ALL=C sed \"s/$abi/9${abi#?}/g\" " KEPT "/$f >$f.new;"
        " test $(stat -c %%s $f.new) = $(stat -c %%s $f); mv $f.new $f; done;"
        " test $(ls " KEPT " | wc -l) = 2");
}

/* Loaded all the same, such a plugin would let nobody in. */
static int would_stop_mail(struct stage *stage, const struct scene_account *account,
                           struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "said=$(printf 'a logout\\r\\n' | /usr/lib/dovecot/imap"
                    " -o mail_plugins=chatmail_idle -u %s 2>&1) && exit 1;"
                    " case $said in *'is for different ABI version 9.'*) ;;"
                    " *) echo \"$said\" >&2; exit 1;; esac",
                    account->addr);
}

/* What activates dovecot-core's trigger stands in the packages of Dovecot's services.
 */
static int end_of_upgrade(struct stage *stage, struct cm_err *err)
{
    int64_t before, after;
    if (unit_pid(stage, "store", "dovecot.service", &before, err) != 0 ||
        scene_sh(&stage->scene, "store", 120, NULL, err,
                 "export DEBIAN_FRONTEND=noninteractive; dpkg-trigger --no-await"
                 " --by-package=dovecot-imapd register-dovecot-plugin &&"
                 " dpkg --triggers-only dovecot-core </dev/null 2>&1") != 0 ||
        unit_pid(stage, "store", "dovecot.service", &after, err) != 0) {
        return -1;
    }
    return after != 0 && after != before
               ? 0
               : cm_err_set(err, CM_ERR_WORLD, "dpkg did not restart Dovecot");
}

static int deliver(const struct sweep_lane *lane, size_t round, void *ctx,
                   struct cm_err *err)
{
    struct talk *talk = ctx;
    (void)lane;
    (void)round;
    return stream_one(talk->stage, &talk->mail, &talk->ledger, err);
}

/* A client in IDLE is told of every mail. */
static int mail_flows(struct talk *talk, int64_t *p50_ms_r, struct cm_err *err)
{
    struct sweep_lane lane = {.imap = door_wire(talk->stage, &talk->door, LOST_MS),
                              .tls = true,
                              .delay_ms = DELAY_MS};
    struct sweep sweep = {.lanes = &lane,
                          .count = 1,
                          .rounds = ROUNDS,
                          .lost_ms = LOST_MS,
                          .deliver = deliver,
                          .ctx = talk};
    snprintf(lane.user, sizeof lane.user, "%s", talk->reader.addr);
    snprintf(lane.password, sizeof lane.password, "%s", talk->reader.password);
    if (sweep_run(&sweep, err) != 0) {
        return -1;
    }
    struct sweep_figures f = sweep_figures(&sweep, NULL);
    *p50_ms_r = f.p50_ms;
    return f.lost == 0 ? mailbox_even(talk->stage, &talk->door, &talk->reader,
                                      &talk->ledger, EVEN_MS, err)
                       : cm_err_set(err, CM_ERR_REFUSE, "%zu of %zu mails not told",
                                    f.lost, f.sent);
}

#define WRONG "wrong: Dovecot plugin "

static int status_is_red(struct stage *stage, struct cm_err *err)
{
    char *said;
    int status = cluster_chatops(stage, CLUSTER_INI, "status", &said, err);
    if (status < 0) {
        return -1;
    }
    /* Lua takes over for push, which is not wrong, but said. */
    bool red = status == 1 &&
               strstr(said, WRONG "chatmail_idle: off: built for 9.") != NULL &&
               strstr(said, "lua: built for 9.") != NULL;
    int rc = red ? 0
                 : cm_err_set(err, CM_ERR_REFUSE, "chatops status (%d): %.400s", status,
                              strstr(said, "plugin") != NULL ? strstr(said, "plugin")
                                                             : said);
    free(said);
    return rc;
}

static int status_turns_green(struct stage *stage, struct cm_err *err)
{
    int64_t end_ms = cm_now_mono_ms() + SETTLE_MS;
    for (;;) {
        char *said;
        if (cluster_chatops(stage, CLUSTER_INI, "status", &said, err) < 0) {
            return -1;
        }
        const char *wrong = strstr(said, WRONG), *idle = strstr(said, "loaded: in ");
        bool green =
            wrong == NULL && idle != NULL && strstr(idle + 1, "loaded: in ") != NULL;
        if (!green) {
            (void)cm_err_set(err, CM_ERR_REFUSE, "chatops status: %.300s",
                             wrong != NULL ? wrong : said);
        }
        free(said);
        if (green || cm_now_mono_ms() > end_ms) {
            return green ? 0 : -1;
        }
        stage_sleep_ms(1000);
    }
}

static int play(struct talk *talk, struct cm_err *err)
{
    struct stage *stage = talk->stage;
    int64_t with_ms, without_ms, again_ms, back_ms;
    if (status_turns_green(stage, err) != 0 || mail_flows(talk, &with_ms, err) != 0 ||
        misfit(stage, err) != 0 || would_stop_mail(stage, &talk->reader, err) != 0) {
        return -1;
    }
    int64_t since_ms = cm_now_mono_ms();
    if (end_of_upgrade(stage, err) != 0 ||
        door_until_in(stage, &talk->door, &talk->reader, since_ms, BACK_MS, &back_ms,
                      err) != 0 ||
        mail_flows(talk, &without_ms, err) != 0 || status_is_red(stage, err) != 0) {
        return cm_err_prefix(err, "plugins of another Dovecot");
    }
    if (scenario_dovecot_plugins_back(stage, err) != 0 ||
        status_turns_green(stage, err) != 0 || mail_flows(talk, &again_ms, err) != 0) {
        return cm_err_prefix(err, "the right plugins again");
    }
    stage_note(stage,
               "told after %lld ms; with plugins of another Dovecot after %lld ms, "
               "logins %lld ms after dpkg began; again %lld ms",
               (long long)with_ms, (long long)without_ms, (long long)back_ms,
               (long long)again_ms);
    return 0;
}

int scenario_dovecot_upgrade(struct stage *stage, struct cm_err *err)
{
    struct talk talk = {.stage = stage, .door = door_at("edge2", AF_INET, 993, true)};
    struct door smtp = door_at("edge1", AF_INET, 465, false);
    struct scene_account writer;
    if (account_make(stage, &talk.reader, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &writer, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    talk.mail = (struct stream_lane){.doors = {smtp, smtp}, .from = writer};
    snprintf(talk.mail.to, sizeof talk.mail.to, "%s", talk.reader.addr);
    ledger_init(&talk.ledger);
    int rc = play(&talk, err);
    ledger_clear(&talk.ledger);
    return rc;
}
