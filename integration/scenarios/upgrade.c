/* An upgrade as docs/operations.md has it: packages in which every program of ours is
 * another one, and chatops run, under clients in IDLE and a stream of mail, edge2 by
 * proxy. Afterwards nothing runs from a program that is gone; all mail that was
 * accepted is there once; everybody is back. Then the former packages again, the same
 * way. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "crowd.h"
#include "mailbox.h"
#include "stream.h"

#define CLIENTS    16
#define LANES      4
#define GAP_MS     1500
#define REST_MS    60000
#define DELIVER_MS 90000
#define NEXT       "+next"
#define SAVED      CLUSTER_DIR "/chatmail.ini.upgrade"

/* A byte behind its end leaves a program what it does. */
static const char make_next[] =
    "set -e; rm -rf /run/next; mkdir /run/next; cd /run/next\n"
    "for deb in /usr/share/portico/packages/portico-*_amd64.deb; do\n"
    "  n=${deb##*/}; n=${n%%_*}; v=$(dpkg-deb -f $deb Version)" NEXT "\n"
    "  dpkg-deb -R $deb tree; sed -i \"s/^Version: .*/Version: $v/\" "
    "tree/DEBIAN/control\n"
    "  find tree/usr/sbin tree/usr/lib/portico -type f -perm -u+x |"
    " while read -r f; do if head -c 4 $f | grep -q ELF; then printf '\\0' >>$f; fi; "
    "done\n"
    "  (cd tree && find usr etc -type f -exec md5sum {} + >DEBIAN/md5sums 2>/dev/null) "
    "||"
    " true\n"
    "  dpkg-deb -Znone -b tree ${n}_${v}_amd64.deb >/dev/null; rm -rf tree\n"
    "done; ls";

static const char by_proxy[] =
    "cd " CLUSTER_DIR " && cp -p " CLUSTER_INI " " SAVED
    " && sed -i '/^\\[gateway edge2\\]/a data_plane = proxy' " CLUSTER_INI;

/* Ours, as its name says; but TURN servers outlive an upgrade, and calls with them. */
static const char old_programs[] =
    "for e in /proc/[0-9]*/exe; do readlink $e 2>/dev/null; done |"
    " grep -E '/(chatmail-|portico/).* \\(deleted\\)' | grep -v chatmail-turn | sort | "
    "uniq -c; true";

struct cast {
    struct scene_account to;
    struct stream_lane lanes[LANES];
    struct ledger ledger;
    struct crowd *crowd;
    struct stream *stream;
};

static int run(struct stage *stage, const char *words, struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, words, &said, err);
    if (status > 0) {
        size_t n = strlen(said);
        status = cm_err_set(err, CM_ERR_REFUSE, "chatops %s: %s", words,
                            said + (n > 700 ? n - 700 : 0));
    }
    free(said);
    return status;
}

static int gather(struct stage *stage, struct cast *c, struct cm_err *err)
{
    struct door inboxes[2] = {door_at("edge1", AF_INET, 993, true),
                              door_at("edge2", AF_INET, 993, true)};
    if (account_make(stage, &c->to, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < LANES; i++) {
        const char *first = i % 2 == 0 ? "edge1" : "edge2";
        const char *second = i % 2 == 0 ? "edge2" : "edge1";
        struct door doors[2] = {door_at(first, AF_INET, 465, false),
                                door_at(second, AF_INET6, 465, false)};
        if (stream_lane_make(stage, &c->lanes[i], doors, SCENE_DOMAIN, c->to.addr,
                             GAP_MS, err) != 0) {
            return -1;
        }
    }
    c->crowd = crowd_start(stage, CLIENTS, &c->to, 1, inboxes);
    return crowd_until_at(c->crowd, 0, REST_MS, err);
}

/* What every node runs, and what it says that it runs. */
static int all_new(struct stage *stage, const char *version, struct cm_err *err)
{
    static const char *const nodes[] = {"store", "edge1", "edge2"};
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        char *said = NULL;
        if (scene_sh(&stage->scene, nodes[i], 0, &said, err, "%s", old_programs) != 0) {
            return -1;
        }
        bool old = said[0] != '\0';
        int rc =
            old ? cm_err_set(err, CM_ERR_REFUSE, "%s still runs %.400s", nodes[i], said)
                : scene_sh(&stage->scene, nodes[i], 0, NULL, err,
                           "grep -qE '^portico [0-9.]+%s$' /etc/chatmail-version ||"
                           " { cat /etc/chatmail-version; false; }",
                           version);
        free(said);
        if (rc != 0) {
            return cm_err_prefix(err, "%s", nodes[i]);
        }
    }
    return 0;
}

/* Wherever it is, each is in IDLE again. */
static int all_back(const struct cast *c, struct cm_err *err)
{
    int64_t left = REST_MS;
    while (crowd_idling(c->crowd, 0) + crowd_idling(c->crowd, 1) < CLIENTS) {
        if ((left -= 200) < 0) {
            return cm_err_set(err, CM_ERR_REFUSE, "%zu and %zu of %d clients are back",
                              crowd_idling(c->crowd, 0), crowd_idling(c->crowd, 1),
                              CLIENTS);
        }
        stage_sleep_ms(200);
    }
    return 0;
}

static int under_load(struct stage *stage, struct cast *c, const char *words,
                      const char *version, struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET6, 993, true);
    size_t before = ledger_count(&c->ledger, LEDGER_ACCEPTED);
    c->stream = stream_start(stage, c->lanes, LANES, &c->ledger);
    int rc = run(stage, words, err);
    if (rc == 0) {
        stage_sleep_ms(3000);
    }
    stream_stop(&c->stream);
    if (rc != 0 || all_new(stage, version, err) != 0 || all_back(c, err) != 0 ||
        mailbox_even(stage, &edge1, &c->to, &c->ledger, DELIVER_MS, err) != 0) {
        return -1;
    }
    stage_note(stage, "%zu mails, each once",
               ledger_count(&c->ledger, LEDGER_ACCEPTED) - before);
    return ledger_count(&c->ledger, LEDGER_ACCEPTED) > before + LANES
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "hardly any mail was accepted");
}

static int play(struct stage *stage, struct cast *c, struct cm_err *err)
{
    if (scene_sh(&stage->scene, "operator", 120, NULL, err, "%s", make_next) != 0 ||
        scene_sh(&stage->scene, "operator", 0, NULL, err, "%s", by_proxy) != 0 ||
        run(stage, "run --yes", err) != 0 || gather(stage, c, err) != 0 ||
        under_load(stage, c, "run --yes --packages /run/next", "\\" NEXT, err) != 0) {
        return -1;
    }
    return under_load(stage, c, "run --yes", "", err) != 0 ? cm_err_prefix(err, "back")
                                                           : 0;
}

int scenario_upgrade(struct stage *stage, struct cm_err *err)
{
    struct cast c = {.stream = NULL};
    ledger_init(&c.ledger);
    int rc = play(stage, &c, err);
    crowd_stop(&c.crowd);
    ledger_clear(&c.ledger);
    return rc;
}

int scenario_upgrade_back(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "operator", 0, NULL, err, "rm -rf /run/next") != 0
               ? -1
               : cluster_ini_back(stage, SAVED, err);
}
