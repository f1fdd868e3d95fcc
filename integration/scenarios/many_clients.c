/* A crowd behind one address, as behind a mobile network's NAT: a thousand clients that
 * come at once through one gateway, on the address of node client, on both data planes.
 * None of the limits on new connections touches them. */
#include "scenario.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "door.h"
#include "plane.h"

#define CROWD    1000
#define ACCOUNTS 50 /* each has CROWD / ACCOUNTS devices */
#define HANDS    100
#define STEP_MS  60000

struct client {
    const struct scene_account *account;
    struct imap *imap; /* NULL: not let in */
    bool alive;
    char why[200];
};

struct crowd {
    const struct stage *stage;
    struct door door;
    struct client *clients;
    size_t count;
    void (*each)(struct crowd *crowd, struct client *client);
    atomic_size_t next;
};

static void come(struct crowd *crowd, struct client *client)
{
    struct cm_err err;
    client->imap =
        door_imap(crowd->stage, &crowd->door, client->account, STEP_MS, &err);
    if (client->imap == NULL) {
        snprintf(client->why, sizeof client->why, "%.199s", err.text);
    }
}

static void speak(struct crowd *crowd, struct client *client)
{
    struct cm_err err;
    (void)crowd;
    client->alive = client->imap != NULL &&
                    imap_command(client->imap, "NOOP", NULL, NULL, &err) == 0;
    if (client->imap != NULL && !client->alive) {
        snprintf(client->why, sizeof client->why, "%.199s", err.text);
    }
    imap_close(&client->imap);
}

static void *hand(void *arg)
{
    struct crowd *crowd = arg;
    size_t i;
    while ((i = atomic_fetch_add(&crowd->next, 1)) < crowd->count) {
        crowd->each(crowd, &crowd->clients[i]);
    }
    return NULL;
}

static void all(struct crowd *crowd,
                void (*each)(struct crowd *crowd, struct client *client))
{
    pthread_t threads[HANDS];
    crowd->each = each;
    crowd->next = 0;
    for (size_t i = 0; i < HANDS; i++) {
        cm_assert(pthread_create(&threads[i], NULL, hand, crowd) == 0);
    }
    for (size_t i = 0; i < HANDS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static int judge(struct crowd *crowd, struct cm_err *err)
{
    size_t alive = 0;
    const char *why = "";
    for (size_t i = 0; i < crowd->count; i++) {
        alive += crowd->clients[i].alive;
        why = crowd->clients[i].alive || why[0] != '\0' ? why : crowd->clients[i].why;
    }
    return alive == crowd->count
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "%zu of %zu served; the first: %s",
                            alive, crowd->count, why);
}

/* Packets that the gateway kept out as too many. */
static int kept_out(struct stage *stage, long *n_r, struct cm_err *err)
{
    char *said = NULL;
    if (scene_sh(&stage->scene, "edge1", 0, &said, err,
                 "for c in flooding strangers; do"
                 " nft list counter inet chatmail $c; done |"
                 " awk '/packets/ {n += $2} END {print n + 0}'") != 0) {
        return -1;
    }
    *n_r = strtol(said, NULL, 10);
    free(said);
    return 0;
}

static int play_crowd(struct stage *stage, struct crowd *crowd, struct cm_err *err)
{
    long before, after;
    if (kept_out(stage, &before, err) != 0) {
        return -1;
    }
    int64_t start = cm_now_mono_ms();
    all(crowd, come);
    int64_t ms = cm_now_mono_ms() - start;
    all(crowd, speak);
    if (judge(crowd, err) != 0 || kept_out(stage, &after, err) != 0) {
        return -1;
    }
    if (after != before) {
        return cm_err_set(err, CM_ERR_REFUSE, "the gateway kept out %ld packets",
                          after - before);
    }
    stage_note(stage, "%zu clients of one address on one gateway, in %.1f s",
               crowd->count, (double)ms / 1000);
    return 0;
}

static int play(struct stage *stage, struct cm_err *err)
{
    struct scene_account accounts[ACCOUNTS];
    struct crowd crowd = {.stage = stage,
                          .door = door_at("edge1", AF_INET, 993, true),
                          .count = stage->quick ? CROWD / 5 : CROWD};
    crowd.clients = cm_calloc(crowd.count, sizeof *crowd.clients);
    int rc = 0;
    for (size_t i = 0; i < ACCOUNTS && rc == 0; i++) {
        rc = account_make(stage, &accounts[i], SCENE_DOMAIN, err);
    }
    for (size_t i = 0; i < crowd.count; i++) {
        crowd.clients[i].account = &accounts[i % ACCOUNTS];
    }
    if (rc == 0) {
        rc = play_crowd(stage, &crowd, err);
    }
    for (size_t i = 0; i < crowd.count; i++) {
        imap_close(&crowd.clients[i].imap);
    }
    free(crowd.clients);
    return rc;
}

int scenario_many_clients(struct stage *stage, struct cm_err *err)
{
    return plane_each(stage, play, err);
}

int scenario_many_clients_back(struct stage *stage, struct cm_err *err)
{
    return plane_back(stage, err);
}
