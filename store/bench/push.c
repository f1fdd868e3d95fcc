/* From a ring to the notification service: chatmail-push over a Redis that syncs each
 * write and a PostgreSQL, posting to a local HTTP/2 service with TLS; rung at its bell,
 * and by way of chatmail-metadata. Against the same HTTP client posting the same tokens
 * to the same service with nothing behind it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/loop.h"
#include "daemonkit/daemonkit.h"
#include "push/courier.h"
#include "push/pump.h"
#include "pushkit.h"

#include "bench.h"
#include "load.h"
#include "process.h"

#define ACCOUNTS   10000
#define LANES      256
#define POSTS      20000
#define GOAL       2000.0
#define LATE_MS    30000 /* what was rung must be posted by then */
#define TOKEN_SIZE 900   /* as today's clients make them */

/* Plain posting */

struct plain {
    struct cm_loop *loop;
    struct courier *courier;
    size_t left, under_way, bad;
    char token[TOKEN_SIZE];
};

static void fill(struct plain *plain);

static void on_posted(int status, const char *why, void *ctx)
{
    struct plain *plain = ctx;
    (void)why;
    plain->bad += status != 200;
    plain->under_way--;
    fill(plain);
}

static void fill(struct plain *plain)
{
    while (plain->left > 0 &&
           courier_room(plain->courier, PUMP_FIRST_MAX + PUMP_AGAIN_MAX) > 0) {
        plain->left--;
        plain->under_way++;
        courier_post(plain->courier, plain->token, sizeof(plain->token), on_posted,
                     plain);
    }
    if (plain->under_way == 0) {
        cm_loop_stop(plain->loop);
    }
}

static int post_plainly(const struct pushkit *kit, size_t count, double *rate_r,
                        struct cm_err *err)
{
    struct plain plain = {.loop = cm_loop_new(), .left = count};
    char url[64];
    memset(plain.token, 'p', sizeof(plain.token));
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/notify", kit->port);
    plain.courier = courier_new(plain.loop, kit->ca);
    courier_set_url(plain.courier, url);
    int64_t start = cm_now_mono_ms();
    fill(&plain);
    cm_loop_run(plain.loop);
    *rate_r = (double)count * 1000 / (double)(cm_now_mono_ms() - start + 1);
    courier_free(&plain.courier);
    cm_loop_free(&plain.loop);
    return plain.bad == 0
               ? 0
               : cm_err_set(err, CM_ERR_WORLD, "%zu plain posts failed", plain.bad);
}

/* Rings */

static size_t ask_bell(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx)
{
    (void)ctx;
    return (size_t)snprintf(out, LOAD_REQUEST_MAX, "u%d@x\n", (int)(i % ACCOUNTS));
}

static size_t ask_metadata(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx)
{
    (void)ctx;
    return (size_t)snprintf(out, LOAD_REQUEST_MAX,
                            "B1\tu%d@x\nS1\tpriv/guid/messagenew\t\nC1\n",
                            (int)(i % ACCOUNTS));
}

struct posted {
    struct pushkit *kit;
    uint64_t count;
};

static bool are_posted(void *ctx)
{
    const struct posted *posted = ctx;
    return (uint64_t)pushkit_count(posted->kit, "u") >= posted->count;
}

/* Notifications per second, until the last of them was posted. */
static int ring(struct pushkit *kit, const struct load *load, struct rows *rows,
                const char *name, double plain, struct cm_err *err)
{
    struct load_result res;
    pushkit_ask(kit, "forget");
    double cpu = process_cpu_seconds(kit->push);
    int64_t start = cm_now_mono_ms();
    if (load_run(load, &res, err) != 0) {
        return -1;
    }
    struct posted posted = {kit, res.answered};
    bool bad = res.bad > 0;
    load_clear(&res);
    if (bad || !pushkit_until(are_posted, &posted, LATE_MS)) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: %ld of %llu were posted", name,
                          pushkit_count(kit, "u"), (unsigned long long)posted.count);
    }
    int64_t took = cm_now_mono_ms() - start;
    double rate = (double)posted.count * 1000 / (double)took;
    struct row *row = rows_add(rows, name, rate, "/s");
    row->compared_with = "plain posting";
    row->ratio = rate / plain;
    snprintf(row->goal, sizeof(row->goal), ">= %.0f", GOAL);
    row->ok = rate >= GOAL;
    rows_add(rows, strcmp(name, "push_bell") == 0 ? "push_bell_cpu" : "push_dict_cpu",
             (process_cpu_seconds(kit->push) - cpu) * 1e6 / (double)posted.count, "us");
    return 0;
}

static pid_t start_metadata(struct pushkit *kit, char path[96], int *listener_r)
{
    char db[256], log[96];
    snprintf(path, 96, "%s/dict", kit->dir);
    snprintf(log, sizeof(log), "%s/metadata.log", kit->dir);
    snprintf(db, sizeof(db), "%s",
             pgfixture_conninfo(kit->pg, "chatmail", "chatmail_metadata"));
    const char *argv[] = {METADATA_PROGRAM, "--config", kit->ini,     "--db",     db,
                          "--bell",         kit->bell,  "--bell-dir", kit->spool, NULL};
    *listener_r = daemonkit_listen(path);
    return daemonkit_start(argv, *listener_r, "dict", log);
}

static int ring_both(struct pushkit *kit, int64_t ms, struct rows *rows, double plain,
                     struct cm_err *err)
{
    struct load bell = {.path = kit->bell,
                        .hello = "",
                        .lanes = LANES,
                        .fresh = true,
                        .ms = ms,
                        .expect = "+",
                        .request = ask_bell};
    if (ring(kit, &bell, rows, "push_bell", plain, err) != 0) {
        return -1;
    }
    char path[96];
    int listener;
    pid_t metadata = start_metadata(kit, path, &listener);
    struct load dict = bell;
    dict.path = path;
    dict.hello = "H3\t2\t0\t\tmetadata\n";
    dict.expect = "O1";
    dict.request = ask_metadata;
    int rc = ring(kit, &dict, rows, "push_metadata", plain, err);
    daemonkit_stop(metadata, SIGTERM);
    close(listener);
    return rc;
}

static int measure(struct pushkit *kit, enum bench_size size, struct rows *rows,
                   struct cm_err *err)
{
    char sql[256];
    double plain, mb;
    snprintf(sql, sizeof(sql),
             "insert into push_token (addr, token) select 'u' || i || '@x', "
             "convert_to(rpad('u' || i || '-', %d, 'x'), 'utf8') "
             "from generate_series(0, %d) i",
             TOKEN_SIZE, ACCOUNTS - 1);
    pgfixture_sql(kit->pg, "chatmail", sql);
    pushkit_start(kit, NULL);
    if (post_plainly(kit, size == BENCH_QUICK ? POSTS / 10 : POSTS, &plain, err) != 0) {
        return -1;
    }
    rows_add(rows, "push_plain_posting", plain, "/s");
    if (process_pss_mb(kit->push, &mb, err) != 0) {
        return -1;
    }
    rows_add(rows, "push_pss_idle", mb, "MB");
    if (ring_both(kit, size == BENCH_QUICK ? 500 : 5000, rows, plain, err) != 0 ||
        process_pss_mb(kit->push, &mb, err) != 0) {
        return -1;
    }
    rows_add(rows, "push_pss_after", mb, "MB");
    return pushkit_stop(kit, SIGTERM) == 0
               ? 0
               : cm_err_set(err, CM_ERR_WORLD, "push did not stop well");
}

int bench_push(enum bench_size size, struct rows *rows, struct cm_err *err)
{
    static struct pushkit kit;
    if (!pushkit_open(&kit)) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "PostgreSQL or Redis are not installed here");
    }
    int rc = measure(&kit, size, rows, err);
    pushkit_close(&kit);
    return rc;
}
