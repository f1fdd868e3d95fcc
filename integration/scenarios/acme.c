/* A relay whose certificate comes from an ACME CA, from bare nodes on: chatops run with
 * pebble in the lab's internet; the certificate on every door of both gateways; renewed
 * for the same key while a client is in IDLE; a CA that is away, that refuses, and a
 * client of it that is killed in the middle; then a gateway without power, while the CA
 * asks from several places at once.
 *
 * The lab's own relay has a name that no CA may know ("_chat.example"), and a store
 * keeps its domain for ever. So the nodes begin anew, and go back to the lab's snapshot
 * afterwards. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ca.h"
#include "cluster.h"
#include "common/mem.h"
#include "deploy/deploy.h"
#include "door.h"
#include "shown.h"

#define DOMAIN   "chat.example"
#define DIR      "/var/lib/chatmail-acme"
#define MARK     CLUSTER_DIR "/of-scenario-acme" /* in node operator */
#define STEP_MS  15000
#define QUICK_MS 15000
#define ASK_S    280
#define KILL_S   20

/* Before the first run: the CA can only ask where the names lead. */
static const char first_zone[] = "@ 60 IN A 198.51.100.11\n@ 60 IN A 203.0.113.12\n"
                                 "@ 60 IN AAAA 2001:db8:1::11\n"
                                 "@ 60 IN AAAA 2001:db8:2::12\n"
                                 "www 60 IN CNAME @\nmta-sts 60 IN CNAME @\n";

#define FORGET "rm -f " DIR "/ca-*/request-cert.pem " DIR "/failed; "
#define KEY    "sha256sum </var/lib/acme/live/" DOMAIN "/privkey"

struct act {
    struct stage *stage;
    struct deploy_relay relay;
    struct imap *client;
    char print[SHOWN_PRINT]; /* that should be in use */
    char *key;               /* its hash */
};

/* ---- from nothing ---- */

static int store(struct act *a, char **out_r, struct cm_err *err, const char *command)
{
    return scene_sh(&a->stage->scene, "store", ASK_S, out_r, err, "%s", command);
}

static int chatops(struct act *a, const char *words, int want, const char *said_words,
                   struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(a->stage, CLUSTER_INI, words, &said, err);
    if (status < 0) {
        return -1;
    }
    size_t n = strlen(said);
    bool good = status == want && cluster_says(said, said_words);
    int rc = good ? 0
                  : cm_err_set(err, CM_ERR_REFUSE,
                               "%s: exit %d, not %d with \"%s\": %s", words, status,
                               want, said_words, said + (n > 500 ? n - 500 : 0));
    free(said);
    return rc;
}

static int bare(struct act *a, struct cm_err *err)
{
    struct stage *s = a->stage;
    struct lab_up options = {.bare = true};
    return lab_down(s->scene.lab, err) != 0 ||
                   lab_up(s->scene.lab, &options, err) < 0 ||
                   scene_netns(&s->scene, "client", s->netns, err) != 0 ||
                   scene_sh(&s->scene, "operator", 0, NULL, err,
                            "mkdir -p " CLUSTER_DIR "; : >" MARK) != 0
               ? -1
               : 0;
}

static int settings(struct act *a, struct cm_err *err)
{
    return scene_sh(&a->stage->scene, "operator", 0, NULL, err,
                    "sed -i -e '/^\\[store\\]/a acme_directory = " CA_DIRECTORY "'"
                    " -e '/^\\[params\\]/a acme_email = root@" DOMAIN "'"
                    " " CLUSTER_DIR "/" CLUSTER_INI);
}

static int deploy(struct act *a, struct cm_err *err)
{
    struct lab *lab = a->stage->scene.lab;
    return ca_install(a->stage, DOMAIN, err) != 0 ||
                   ca_start(a->stage, CA_WELL, err) != 0 ||
                   deploy_install_chatops(lab, err) != 0 ||
                   deploy_begin(lab, &a->relay, err) != 0 || settings(a, err) != 0 ||
                   lab_zone(lab, DOMAIN, first_zone, err) != 0 ||
                   chatops(a, "run --yes", 0, "by Pebble", err) != 0 ||
                   deploy_publish(lab, &a->relay, err) != 0
               ? -1
               : 0;
}

/* ---- what all tests of it need ---- */

static int remember(struct act *a, struct cm_err *err)
{
    free(a->key);
    a->key = NULL;
    return shown_same(a->stage, DOMAIN, NULL, a->print, err) != 0
               ? cm_err_prefix(err, "shown")
               : store(a, &a->key, err, KEY);
}

static int lives(struct imap *client, struct cm_err *err)
{
    return imap_idle_wait(client, 200, err) < 0 ? cm_err_prefix(err, "IDLE") : 0;
}

static int still(struct act *a, const char *only, struct cm_err *err)
{
    char print[SHOWN_PRINT];
    if (shown_same(a->stage, DOMAIN, only, print, err) != 0) {
        return -1;
    }
    if (strcmp(print, a->print) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "another is shown, %.16s", print);
    }
    return lives(a->client, err);
}

/* Another certificate is shown within seconds, for the same key, and IDLE goes on. */
static int renewed(struct act *a, const char *only, struct cm_err *err)
{
    char *print = NULL, *key = NULL;
    int64_t ms = 0;
    int rc = store(a, &print, err,
                   "openssl x509 -in " DIR "/cert.pem -noout -fingerprint -sha256 |"
                   " sed 's/.*=//; s/://g'");
    if (rc == 0) {
        print[strcspn(print, "\n")] = '\0';
        rc = strcmp(print, a->print) != 0
                 ? shown_until(a->stage, DOMAIN, only, print, QUICK_MS, &ms, err)
                 : cm_err_set(err, CM_ERR_REFUSE, "no other certificate was given");
    }
    if (rc == 0) {
        snprintf(a->print, sizeof a->print, "%.64s", print);
        rc = store(a, &key, err, KEY);
    }
    if (rc == 0 && strcmp(key, a->key) != 0) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "the key is another");
    }
    if (rc == 0) {
        stage_note(a->stage, "shown after %.1f s", (double)ms / 1000);
        rc = lives(a->client, err);
    }
    free(key);
    free(print);
    return rc;
}

static int named_once(struct act *a, const char *words, struct cm_err *err)
{
    char *said = NULL;
    static const char line[] = "no new certificate";
    int status = cluster_chatops(a->stage, CLUSTER_INI, "status", &said, err);
    if (status < 0) {
        return -1;
    }
    const char *at = strstr(said, line);
    bool once = at != NULL && strstr(at + 1, line) == NULL;
    int rc = status == 1 && once && cluster_says(at, words)
                 ? 0
                 : cm_err_set(err, CM_ERR_REFUSE,
                              "status: exit %d, not \"%s\", \"%s\": %.600s", status,
                              line, words, at != NULL ? at : said);
    free(said);
    return rc;
}

/* ---- the tests ---- */

static int first(struct act *a, struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    struct scene_account account;
    scene_new_account(&account, DOMAIN);
    if (remember(a, err) != 0 || chatops(a, "status", 0, "Pebble", err) != 0 ||
        chatops(a, "test --gateway edge2", 0, "0 wrong", err) != 0 ||
        door_must_let_in(a->stage, &door, &account, err) != 0) {
        return -1;
    }
    a->client = door_imap(a->stage, &door, &account, STEP_MS, err);
    return a->client == NULL ||
                   imap_command(a->client, "SELECT INBOX", NULL, NULL, err) != 0 ||
                   imap_idle(a->client, err) != 0
               ? -1
               : 0;
}

static int renewal(struct act *a, struct cm_err *err)
{
    return store(a, NULL, err, FORGET "systemctl start chatmail-acme") != 0
               ? -1
               : renewed(a, NULL, err);
}

static int away(struct act *a, struct cm_err *err)
{
    return ca_stop(a->stage, err) != 0 ||
                   store(a, NULL, err, FORGET "! systemctl start chatmail-acme") != 0 ||
                   named_once(a, "the CA cannot be reached: " CA_DIRECTORY, err) != 0
               ? -1
               : still(a, NULL, err);
}

static int refusing(struct act *a, struct cm_err *err)
{
    return ca_start(a->stage, CA_REFUSES, err) != 0 ||
                   store(a, NULL, err, FORGET "! systemctl start chatmail-acme") != 0 ||
                   named_once(a, "the CA says: ", err) != 0
               ? -1
               : still(a, NULL, err);
}

/* While the CA is about to ask: our answer lies there. Nothing is left of it. */
static int killed(struct act *a, struct cm_err *err)
{
    static const char in_the_middle[] =
        FORGET "systemctl start --no-block chatmail-acme; for i in $(seq 200); do"
               " ls " DIR "/challenge | grep -q . && break; sleep 0.1; done;"
               " systemctl kill -s KILL chatmail-acme; systemctl is-active -q"
               " chatmail-acme; ls " DIR "/challenge | grep -q .";
    return ca_start(a->stage, CA_SLOW, err) != 0 ||
                   store(a, NULL, err, in_the_middle) != 0 ||
                   still(a, NULL, err) != 0 ||
                   store(a, NULL, err, "systemctl start chatmail-acme") != 0 ||
                   renewed(a, NULL, err) != 0
               ? -1
               : store(a, NULL, err, "! ls " DIR "/challenge | grep -q .");
}

/* Some of the CA's places meet the dead gateway, so that it says no, nearly always. The
 * address leaves the DNS, and it is given. */
static int dead_gateway(struct act *a, struct cm_err *err)
{
    struct lab *lab = a->stage->scene.lab;
    char *log = NULL;
    if (ca_start(a->stage, CA_WELL, err) != 0 || lab_stop(lab, "edge2", err) != 0 ||
        store(a, NULL, err, FORGET "systemctl start chatmail-acme || true") != 0 ||
        ca_log(a->stage, &log, err) != 0) {
        return -1;
    }
    bool met = strstr(log, "set INVALID") != NULL;
    free(log);
    stage_note(a->stage, "the CA %s the dead gateway", met ? "met" : "did not meet");
    if (met &&
        (named_once(a, "the CA says: ", err) != 0 || still(a, "edge1", err) != 0)) {
        return -1;
    }
    /* It cannot say that it has applied it; the mode counts all the same. */
    return chatops(a, "gateway off edge2", 1, "no report for", err) != 0 ||
                   deploy_publish(lab, &a->relay, err) != 0 ||
                   chatops(a, "run --yes --only store", 0, "by Pebble", err) != 0 ||
                   renewed(a, "edge1", err) != 0
               ? -1
               : 0;
}

static int back(struct act *a, struct cm_err *err)
{
    return lab_start(a->stage->scene.lab, "edge2", err) != 0 ||
                   chatops(a, "gateway resume edge2", 0, "", err) != 0
               ? -1
               : still(a, NULL, err);
}

static int play(struct act *a, struct cm_err *err)
{
    static const struct {
        const char *name;
        int (*run)(struct act *, struct cm_err *);
    } tests[] = {{"bare nodes", bare},  {"chatops run", deploy},
                 {"the first", first},  {"renewal", renewal},
                 {"CA away", away},     {"CA refuses", refusing},
                 {"killed", killed},    {"dead gateway", dead_gateway},
                 {"gateway back", back}};
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        if (tests[i].run(a, err) != 0) {
            return cm_err_prefix(err, "%s", tests[i].name);
        }
    }
    return lives(a->client, err);
}

int scenario_acme(struct stage *stage, struct cm_err *err)
{
    struct act a = {.stage = stage, .relay = deploy_relays[0]};
    a.relay.domain = DOMAIN;
    int rc = play(&a, err);
    imap_close(&a.client);
    free(a.key);
    return rc;
}

int scenario_acme_back(struct stage *stage, struct cm_err *err)
{
    char *there = NULL;
    if (scene_sh(&stage->scene, "operator", 0, &there, err,
                 "ls " MARK " 2>/dev/null || true") != 0) {
        return -1;
    }
    bool used = there[0] != '\0';
    free(there);
    return used ? lab_restore(stage->scene.lab, "deployed", err) : 0;
}
