/* The program as Postfix uses it: fifty large messages at once over the milter
 * protocol, and what it held at most meanwhile. */
#include "bench.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"
#include "pgfixture/pgfixture.h"
#include "testing/mta.h"
#include "testing/signer.h"

#define ONE "one@chat.example.org"
#define INI                                                                            \
    "[params]\nmail_domain = chat.example.org\nmax_user_send_per_minute = 60000\n"     \
    "max_user_send_burst_size = 10000\n"

struct lane {
    pthread_t thread;
    const char *path;
    const struct letter_plan *plan;
    bool ok;
};

static bool send_body(struct mta *m, const struct letter_plan *plan)
{
    size_t at;
    mta_header(m, plan->head, &at);
    bool ok = mta_body(m, plan->head + at, strlen(plan->head) - at);
    for (size_t i = 0; i < plan->blocks && ok; i++) {
        ok = mta_body(m, plan->block, plan->block_len);
    }
    return ok && mta_body(m, plan->tail, strlen(plan->tail));
}

static void *drive(void *ctx)
{
    struct lane *lane = ctx;
    struct mta m;
    mta_open(&m, lane->path);
    mta_mail(&m, ONE, ONE);
    lane->ok = strcmp(mta_rcpt(&m, ONE, NULL), "continue") == 0 &&
               send_body(&m, lane->plan) && strcmp(mta_end(&m), "accept") == 0;
    mta_close(&m);
    return NULL;
}

/* VmHWM, in MB. */
static double most_held(pid_t pid)
{
    char path[64], line[256];
    double kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            kib = strtod(line + 6, NULL);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return kib * 1024 / 1e6;
}

static int measure(const char *path, pid_t pid, bool quick, struct rows *rows,
                   struct cm_err *err)
{
    static struct lane lanes[BENCH_PARALLEL];
    struct letter_plan plan;
    plan_letter(&plan, ONE, ONE, quick ? BENCH_LARGE / 10 : BENCH_LARGE);
    double begun = bench_now();
    for (int i = 0; i < BENCH_PARALLEL; i++) {
        lanes[i] = (struct lane){.path = path, .plan = &plan};
        cm_assert(pthread_create(&lanes[i].thread, NULL, drive, &lanes[i]) == 0);
    }
    int good = 0;
    for (int i = 0; i < BENCH_PARALLEL; i++) {
        pthread_join(lanes[i].thread, NULL);
        good += lanes[i].ok;
    }
    double took = bench_now() - begun, mb = BENCH_PARALLEL * (double)plan.bytes / 1e6;
    plan_clear(&plan);
    if (good != BENCH_PARALLEL) {
        return cm_err_set(err, CM_ERR_WORLD, "%d of %d messages passed", good,
                          BENCH_PARALLEL);
    }
    rows_add(rows, "daemon_50x30m", mb / took, "MB/s");
    struct row *row = rows_add(rows, "daemon_rss_50x30m", most_held(pid), "MB");
    row->ok = row->value < 16;
    row->compared_with = "bytes in flight";
    row->ratio = row->value / mb;
    snprintf(row->goal, sizeof(row->goal), "< 16");
    return 0;
}

/* chatmail-filter signs what it lets out. */
static int make_key(const char *path, struct cm_err *err)
{
    struct sg_key *key = sg_key_rsa(2048);
    char *pem = sg_key_pem(key);
    int rc = cm_file_replace(path, pem, strlen(pem), 0600, err);
    free(pem);
    sg_key_free(&key);
    return rc;
}

static int prepare(struct pgfixture *pg, const char *ini, const char *key,
                   struct cm_err *err)
{
    pgfixture_sql(pg, "postgres", "create database chatmail");
    pgfixture_sql_file(pg, "chatmail", SCHEMA_DIR "/001-account.sql");
    pgfixture_sql_file(pg, "chatmail", SCHEMA_DIR "/009-filter.sql");
    pgfixture_sql(pg, "chatmail",
                  "insert into account (addr, password) values ('" ONE "', 'x')");
    return cm_file_replace(ini, INI, sizeof(INI) - 1, 0644, err) == 0
               ? make_key(key, err)
               : -1;
}

int bench_daemon(bool quick, struct rows *rows, struct cm_err *err)
{
    char dir[] = "/tmp/bench-filter.XXXXXX", path[64], ini[64], key[64], log[64],
         db[256];
    struct pgfixture *pg = pgfixture_new();
    if (pg == NULL || mkdtemp(dir) == NULL) {
        return cm_err_set(err, CM_ERR_WORLD, "no PostgreSQL, or no room in /tmp");
    }
    chmod(dir, 0755);
    snprintf(path, sizeof(path), "%s/milter", dir);
    snprintf(ini, sizeof(ini), "%s/chatmail.ini", dir);
    snprintf(key, sizeof(key), "%s/key", dir);
    snprintf(log, sizeof(log), "%s/log", dir);
    int rc = prepare(pg, ini, key, err);
    if (rc == 0) {
        snprintf(db, sizeof(db), "%s",
                 pgfixture_conninfo(pg, "chatmail", "chatmail_filter"));
        const char *argv[] = {
            FILTER_PROGRAM, "--mode",       "outgoing", "--config", ini, "--db", db,
            "--redis",      "/nonexistent", "--key",    key,        NULL};
        int listener = daemonkit_listen(path);
        pid_t pid = daemonkit_start(argv, listener, "milter", log);
        rc = measure(path, pid, quick, rows, err);
        daemonkit_stop(pid, SIGTERM);
        close(listener);
    }
    pgfixture_free(&pg);
    char *clean = cm_asprintf("rm -rf %s", dir);
    if (system(clean) != 0) {
        fprintf(stderr, "bench-filter: %s is left over\n", dir);
    }
    free(clean);
    return rc;
}
