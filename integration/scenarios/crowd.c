#include "crowd.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/mem.h"
#include "probe/imap.h"

#define STEP_MS  10000
#define LOOK_MS  250
#define AGAIN_MS 300
#define STACK    (256 * 1024)
#define WHY      200

struct client {
    struct crowd *crowd;
    struct scene_account account;
    pthread_t thread;
};

struct crowd {
    const struct stage *stage;
    struct door doors[2];
    struct client clients[CROWD_MAX];
    size_t count;
    atomic_bool stop;
    atomic_size_t idling[2], ended, announced;
    _Atomic int64_t first_end_ms, last_rest_ms;
    pthread_mutex_t lock; /* of why */
    char why[WHY];        /* somebody was not let in last */
};

static void note_why(struct crowd *crowd, const struct cm_err *err)
{
    pthread_mutex_lock(&crowd->lock);
    snprintf(crowd->why, sizeof crowd->why, "%.199s", err->text);
    pthread_mutex_unlock(&crowd->lock);
}

/* NULL: not let in. */
static struct imap *settle(const struct client *client, int door)
{
    struct crowd *crowd = client->crowd;
    struct cm_err err;
    struct imap *imap =
        door_imap(crowd->stage, &crowd->doors[door], &client->account, STEP_MS, &err);
    if (imap != NULL && (imap_command(imap, "SELECT INBOX", NULL, NULL, &err) != 0 ||
                         imap_idle(imap, &err) != 0)) {
        imap_close(&imap);
    }
    if (imap == NULL) {
        note_why(crowd, &err);
    }
    return imap;
}

/* In IDLE until told, or until all is over. */
static void rest(struct crowd *crowd, struct imap *imap, int door)
{
    struct cm_err err;
    int rc = 0;
    atomic_store(&crowd->last_rest_ms, cm_now_mono_ms());
    atomic_fetch_add(&crowd->idling[door], 1);
    while (rc >= 0 && !atomic_load(&crowd->stop)) {
        rc = imap_idle_wait(imap, LOOK_MS, &err);
        if (rc > 0) {
            atomic_fetch_add(&crowd->announced, 1);
        }
    }
    atomic_fetch_sub(&crowd->idling[door], 1);
    if (rc < 0) {
        int64_t never = 0;
        note_why(crowd, &err);
        atomic_compare_exchange_strong(&crowd->first_end_ms, &never, cm_now_mono_ms());
        atomic_fetch_add(&crowd->ended, 1);
    }
}

static void *live(void *arg)
{
    struct client *client = arg;
    struct crowd *crowd = client->crowd;
    int door = 0;
    while (!atomic_load(&crowd->stop)) {
        struct imap *imap = settle(client, door);
        if (imap != NULL) {
            rest(crowd, imap, door);
            imap_close(&imap);
        } else {
            stage_sleep_ms(AGAIN_MS);
        }
        door ^= 1;
    }
    return NULL;
}

struct crowd *crowd_start(const struct stage *stage, size_t n,
                          const struct scene_account *accounts, size_t n_accounts,
                          const struct door doors[2])
{
    struct crowd *crowd = cm_calloc(1, sizeof *crowd);
    pthread_attr_t attr;
    cm_assert(n <= CROWD_MAX && pthread_mutex_init(&crowd->lock, NULL) == 0);
    cm_assert(pthread_attr_init(&attr) == 0 &&
              pthread_attr_setstacksize(&attr, STACK) == 0);
    crowd->stage = stage;
    crowd->doors[0] = doors[0];
    crowd->doors[1] = doors[1];
    crowd->count = n;
    for (size_t i = 0; i < n; i++) {
        struct client *client = &crowd->clients[i];
        client->crowd = crowd;
        client->account = accounts[i % n_accounts];
        cm_assert(pthread_create(&client->thread, &attr, live, client) == 0);
    }
    pthread_attr_destroy(&attr);
    return crowd;
}

void crowd_stop(struct crowd **crowd)
{
    if (*crowd == NULL) {
        return;
    }
    atomic_store(&(*crowd)->stop, true);
    for (size_t i = 0; i < (*crowd)->count; i++) {
        pthread_join((*crowd)->clients[i].thread, NULL);
    }
    pthread_mutex_destroy(&(*crowd)->lock);
    free(*crowd);
    *crowd = NULL;
}

size_t crowd_idling(const struct crowd *crowd, int door)
{
    return atomic_load(&crowd->idling[door]);
}

size_t crowd_ended(const struct crowd *crowd)
{
    return atomic_load(&crowd->ended);
}

size_t crowd_announced(const struct crowd *crowd)
{
    return atomic_load(&crowd->announced);
}

int64_t crowd_first_end_ms(const struct crowd *crowd)
{
    return atomic_load(&crowd->first_end_ms);
}

int64_t crowd_last_rest_ms(const struct crowd *crowd)
{
    return atomic_load(&crowd->last_rest_ms);
}

int crowd_until_at(const struct crowd *crowd, int door, int64_t limit_ms,
                   struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + limit_ms;
    while (crowd_idling(crowd, door) < crowd->count) {
        if (cm_now_mono_ms() > until) {
            return cm_err_set(err, CM_ERR_RETRY,
                              "only %zu of %zu clients idle at %s after %lld s: %.160s",
                              crowd_idling(crowd, door), crowd->count,
                              crowd->doors[door].node, (long long)(limit_ms / 1000),
                              crowd->why);
        }
        stage_sleep_ms(100);
    }
    return 0;
}
