/* Hold and off, and back, on both data planes: hold leaves who comes new without an
 * answer and lets him in when it ends; off refuses him and resets who is there. */
#include "scenario.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/clock.h"
#include "door.h"
#include "plane.h"

#define STEP_MS   15000
#define SILENT_MS 2500
#define WAITS_MS  45000
#define BACK_MS   10000

static int chatops(struct stage *stage, const char *words, struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, words, &said, err);
    if (status > 0) {
        status = cm_err_set(err, CM_ERR_REFUSE, "chatops %s: %.400s", words, said);
    }
    free(said);
    return status;
}

/* Every door of edge1: no answer (hold), or RST (off). */
static int all_shut(struct stage *stage, bool silent, struct cm_err *err)
{
    struct door doors[DOORS];
    doors_all(doors);
    for (size_t i = 0; i < DOORS; i++) {
        /* One port each way is waited for; the rest is refused at once. */
        bool slow = doors[i].port != 993 && silent;
        if (strcmp(doors[i].node, "edge1") != 0 || slow) {
            continue;
        }
        struct wire_to to = door_wire(stage, &doors[i], SILENT_MS);
        struct cm_err why = {.text = ""};
        struct wire *wire = wire_open(&to, &why);
        bool opened = wire != NULL;
        char name[64];
        door_name(&doors[i], name);
        wire_close(&wire);
        if (opened || (strstr(why.text, silent ? "timed out" : "refused") == NULL)) {
            return cm_err_set(err, CM_ERR_REFUSE, "%s: %s", name,
                              opened ? "let in" : why.text);
        }
    }
    return 0;
}

/* Comes while the gateway holds. */
struct waiter {
    const struct stage *stage;
    const struct scene_account *account;
    pthread_t thread;
    bool in;
    struct cm_err why;
};

static void *wait_at_the_door(void *arg)
{
    struct waiter *w = arg;
    struct door door = door_at("edge1", AF_INET, 465, false);
    enum imap_verdict verdict = IMAP_OTHER;
    w->in = door_login(w->stage, &door, w->account->addr, w->account->password,
                       WAITS_MS, &verdict, NULL, &w->why) == 0 &&
            verdict == IMAP_IN;
    return NULL;
}

static int hold(struct stage *stage, const struct scene_account *account,
                struct imap *present, struct cm_err *err)
{
    struct waiter w = {.stage = stage, .account = account, .why = {.text = "refused"}};
    if (chatops(stage, "gateway hold edge1", err) != 0) {
        return -1;
    }
    cm_assert(pthread_create(&w.thread, NULL, wait_at_the_door, &w) == 0);
    int rc = all_shut(stage, true, err);
    if (rc == 0 && imap_command(present, "NOOP", NULL, NULL, err) != 0) {
        rc = cm_err_prefix(err, "who is there");
    }
    struct cm_err ignored;
    if (chatops(stage, "gateway resume edge1", rc == 0 ? err : &ignored) != 0) {
        rc = -1;
    }
    pthread_join(w.thread, NULL);
    if (rc == 0 && !w.in) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "who came in hold was not let in: %.200s",
                        w.why.text);
    }
    return rc != 0 ? cm_err_prefix(err, "hold") : 0;
}

static int off(struct stage *stage, const struct scene_account *account,
               struct imap *present, struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET6, 993, true);
    struct cm_err why;
    if (chatops(stage, "gateway off edge1", err) != 0 ||
        all_shut(stage, false, err) != 0) {
        return cm_err_prefix(err, "off");
    }
    int64_t start = cm_now_mono_ms();
    if (imap_command(present, "NOOP", NULL, NULL, &why) == 0 ||
        cm_now_mono_ms() - start > SILENT_MS) {
        return cm_err_set(err, CM_ERR_REFUSE, "off: who is there was not reset");
    }
    return chatops(stage, "gateway resume edge1", err) != 0
               ? -1
               : door_until_in(stage, &edge1, account, cm_now_mono_ms(), BACK_MS, NULL,
                               err);
}

static int play(struct stage *stage, struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET, 993, true);
    struct scene_account account;
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    struct imap *present = door_imap(stage, &edge1, &account, STEP_MS, err);
    int rc = present == NULL || hold(stage, &account, present, err) != 0 ||
                     off(stage, &account, present, err) != 0
                 ? -1
                 : 0;
    imap_close(&present);
    return rc;
}

int scenario_modes(struct stage *stage, struct cm_err *err)
{
    return plane_each(stage, play, err);
}
