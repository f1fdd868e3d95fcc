/* The whole way in the lab: submission to maildir on the deployed store, by port 587
 * with the filter, which signs, as it is deployed, and by a second service of the same
 * Postfix that has no milter at all. Needs the lab up and deployed. */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mem.h"
#include "letters/letters.h"
#include "probe/imap.h"
#include "probe/mail.h"
#include "probe/smtp.h"
#include "scene/scene.h"

#define STORE     "10.9.0.2"
#define EHLO      "bench.client.example"
#define PORT      587
#define BARE_PORT 10587
#define LANES     8
#define BYTES     10000
#define STEP_MS   30000
#define MIN_SHARE 0.8
#define SETTLE_S  60

struct sent {
    char id[64];
    double at; /* wall clock, as the maildir's */
};

struct lane {
    pthread_t thread;
    const char *netns;
    int port;
    struct scene_account account;
    struct sent *sent; /* its share */
    size_t count;
    char trouble[256];
};

static double wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int submit_all(struct lane *lane, struct smtp *smtp, struct cm_err *err)
{
    const char *addr = lane->account.addr;
    struct smtp_reply reply;
    for (size_t i = 0; i < lane->count; i++) {
        char name[17];
        mail_random(name, sizeof(name));
        snprintf(lane->sent[i].id, sizeof(lane->sent[i].id), "%s@bench.example", name);
        char *text = letter_of_size(addr, addr, lane->sent[i].id, BYTES);
        lane->sent[i].at = wall();
        int rc = smtp_send(smtp, addr, addr, text, &reply, err);
        free(text);
        if (rc != 0) {
            return -1;
        }
        if (reply.code != 250) {
            return cm_err_set(err, CM_ERR_REFUSE, "%d %.200s", reply.code, reply.text);
        }
    }
    return 0;
}

static void *drive(void *ctx)
{
    struct lane *lane = ctx;
    struct wire_to to = {
        .netns = lane->netns, .host = STORE, .port = lane->port, .timeout_ms = STEP_MS};
    struct cm_err err = {.text = ""};
    struct smtp_reply reply;
    struct smtp *smtp = smtp_open(&to, EHLO, &err);
    if (smtp == NULL ||
        smtp_auth(smtp, lane->account.addr, lane->account.password, &reply, &err) !=
            0 ||
        submit_all(lane, smtp, &err) != 0) {
        snprintf(lane->trouble, sizeof(lane->trouble), "%.250s", err.text);
    }
    smtp_close(&smtp);
    return NULL;
}

/* "SECONDS ID" for each message of the account (compressed, as Dovecot keeps it), its
 * rename into the maildir as time. */
static int arrived(struct scene *scene, const struct lane *lane, double *late,
                   size_t *n_r, double *last, struct cm_err *err)
{
    char *text;
    if (scene_sh(scene, "store", 0, &text, err,
                 "cd /home/vmail/mail/*/%s && for f in new/* cur/*; do"
                 " [ -f \"$f\" ] || continue; id=$(zcat -f \"$f\" |"
                 " sed -n 's/^Message-ID: <\\(.*\\)>.*/\\1/Ip;/^.\\?$/q');"
                 " echo $(stat -c %%.Z \"$f\") $id; done; true",
                 lane->account.addr) != 0) {
        return -1;
    }
    *n_r = 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *id = strchr(line, ' ');
        for (size_t i = 0; id != NULL && i < lane->count; i++) {
            if (strncmp(id + 1, lane->sent[i].id, strlen(lane->sent[i].id)) == 0) {
                double at = strtod(line, NULL);
                late[(*n_r)++] = at - lane->sent[i].at;
                *last = at > *last ? at : *last;
            }
        }
    }
    free(text);
    return 0;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

struct outcome {
    double per_second; /* from the first submission begun to the last in its maildir */
    double p95_ms;     /* submission begun to message in the maildir */
};

static int collect(struct scene *scene, struct lane *lanes, size_t each, double begun,
                   struct outcome *out, struct cm_err *err)
{
    double *late = cm_calloc(LANES * each, sizeof(*late));
    double last = begun;
    size_t all = 0;
    int rc = 0;
    for (int tries = 0; tries < SETTLE_S && rc == 0 && all < LANES * each; tries++) {
        struct timespec second = {.tv_sec = tries > 0};
        nanosleep(&second, NULL);
        all = 0;
        for (int i = 0; i < LANES && rc == 0; i++) {
            size_t n;
            rc = arrived(scene, &lanes[i], late + all, &n, &last, err);
            all += rc == 0 ? n : 0;
        }
    }
    if (rc == 0 && all != LANES * each) {
        rc = cm_err_set(err, CM_ERR_WORLD, "%zu of %zu messages arrived", all,
                        LANES * each);
    }
    qsort(late, all, sizeof(*late), by_size);
    out->p95_ms = all > 0 ? late[all * 95 / 100] * 1000 : 0;
    out->per_second = (double)all / (last - begun);
    free(late);
    return rc;
}

static int run(struct scene *scene, int port, size_t each, struct outcome *out,
               struct cm_err *err)
{
    static struct lane lanes[LANES];
    char netns[64];
    struct sent *sent = cm_calloc(LANES * each, sizeof(*sent));
    int rc = scene_netns(scene, "store", netns, err);
    for (int i = 0; i < LANES && rc == 0; i++) {
        lanes[i] = (struct lane){.netns = netns,
                                 .port = port,
                                 .sent = sent + (size_t)i * each,
                                 .count = each};
        scene_new_account(&lanes[i].account, SCENE_DOMAIN);
        rc = scene_create(scene, &lanes[i].account, scene_gateways[0].v4, err);
    }
    double begun = wall();
    for (int i = 0; i < LANES && rc == 0; i++) {
        cm_assert(pthread_create(&lanes[i].thread, NULL, drive, &lanes[i]) == 0);
    }
    for (int i = 0; i < LANES && rc == 0; i++) {
        pthread_join(lanes[i].thread, NULL);
    }
    for (int i = 0; i < LANES && rc == 0; i++) {
        if (lanes[i].trouble[0] != '\0') {
            rc = cm_err_set(err, CM_ERR_WORLD, "port %d: %s", port, lanes[i].trouble);
        }
    }
    if (rc == 0) {
        rc = collect(scene, lanes, each, begun, out, err);
    }
    free(sent);
    return rc;
}

/* The submission service again, on loopback's side of nothing else: same options, no
 * milter. */
static int open_bare(struct scene *scene, struct cm_err *err)
{
    return scene_sh(scene, "store", 0, NULL, err,
                    "set -e; cp -p /etc/postfix/master.cf /root/master.cf.bench;"
                    " sed -n '/^submission /,/^[a-z#]/{/^submission /s/^submission/%d/;"
                    "/^[a-z#]/d;/smtpd_milters/d;/daemon_name/d;p}'"
                    " /root/master.cf.bench >>/etc/postfix/master.cf; postfix reload",
                    BARE_PORT);
}

static int close_bare(struct scene *scene, struct cm_err *err)
{
    return scene_sh(scene, "store", 0, NULL, err,
                    "! test -e /root/master.cf.bench ||"
                    " { mv /root/master.cf.bench /etc/postfix/master.cf &&"
                    " postfix reload; }");
}

/* Both ways in turn, twice, so that neither has the warmer machine. */
static int compare(struct scene *scene, size_t each, struct outcome *with,
                   struct outcome *bare, struct cm_err *err)
{
    for (int round = 0; round < 2; round++) {
        struct outcome a, b;
        if (run(scene, BARE_PORT, each, &b, err) != 0 ||
            run(scene, PORT, each, &a, err) != 0) {
            return -1;
        }
        with->per_second += a.per_second / 2;
        with->p95_ms += a.p95_ms / 2;
        bare->per_second += b.per_second / 2;
        bare->p95_ms += b.p95_ms / 2;
    }
    return 0;
}

int bench_postfix(bool quick, struct rows *rows, struct cm_err *err)
{
    struct scene scene;
    struct outcome with = {0}, bare = {0};
    struct cm_err later;
    if (scene_open(&scene, err) != 0) {
        return -1;
    }
    int rc = open_bare(&scene, err);
    if (rc == 0) {
        rc = compare(&scene, quick ? 10 : 100, &with, &bare, err);
    }
    if (close_bare(&scene, &later) != 0 && rc == 0) {
        *err = later;
        rc = -1;
    }
    scene_close(&scene);
    if (rc != 0) {
        return -1;
    }
    struct row *row = rows_add(rows, "postfix_10k", with.per_second, "1/s");
    row->compared_with = "Postfix without a milter";
    row->ratio = with.per_second / bare.per_second;
    row->ok = row->ratio >= MIN_SHARE;
    snprintf(row->goal, sizeof(row->goal), "ratio >= %.1f", MIN_SHARE);
    row = rows_add(rows, "postfix_p95", with.p95_ms, "ms");
    row->compared_with = "Postfix without a milter";
    row->ratio = with.p95_ms / bare.p95_ms;
    row->ok = row->ratio <= 1 / MIN_SHARE;
    snprintf(row->goal, sizeof(row->goal), "ratio <= %.2f", 1 / MIN_SHARE);
    return 0;
}
