/* chatmail-auth creating accounts, on all cores: against bare crypt(3), and what a
 * flood of creations does to the logins of others. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "house.h"
#include "lookups.h"
#include "process.h"
#include "raw.h"
#include "server.h"

#define CREATORS 32 /* creations asked for at a time */
#define TURNS    5

#define LOGINS_PER_SECOND 500 /* beside the flood */
#define LOGIN_LANES       64

#define CREATE_GOAL 0.8
#define FLOOD_GOAL  1.2

static const struct load known = {.hello = LOOKUPS_HELLO,
                                  .lanes = LOGIN_LANES,
                                  .fresh = true,
                                  .pace = LOGINS_PER_SECOND,
                                  .expect = "O{",
                                  .request = lookups_known};

static const struct load new = {.hello = LOOKUPS_HELLO,
                                .lanes = CREATORS,
                                .fresh = true,
                                .expect = "O{",
                                .request = lookups_new};

static int creation(struct server *auth, int64_t ms, struct rows *rows,
                    struct cm_err *err)
{
    char word[] = "c";
    struct load load = new;
    double bare = 0, once;
    load.ctx = word;
    load.ms = ms;
    for (int i = 0; i < TURNS; i++) {
        load.first = (uint64_t)i * 100000;
        if (raw_crypt_rate(process_cores(), ms, &once, err) != 0 ||
            server_turn(auth, &load, NULL, err) != 0) {
            return -1;
        }
        bare = once > bare ? once : bare;
    }
    rows_add(rows, "crypt", bare, "/s");
    struct row *row = rows_add(rows, "auth_create", auth->best, "/s");
    row->compared_with = "crypt(3)";
    row->ratio = auth->best / bare;
    snprintf(row->goal, sizeof(row->goal), "ratio >= %.1f", CREATE_GOAL);
    row->ok = row->ratio >= CREATE_GOAL;
    return 0;
}

/* Ended by SIGKILL. */
static pid_t flood_start(const struct server *auth, uint64_t first)
{
    char word[] = "f";
    struct load load = new;
    struct load_result res;
    struct cm_err err;
    pid_t pid = fork();
    cm_assert(pid >= 0);
    if (pid != 0) {
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    load.path = auth->path;
    load.ctx = word;
    load.first = first;
    load.ms = 60000;
    if (load_run(&load, &res, &err) != 0) {
        fprintf(stderr, "bench-store: flood: %s\n", err.text);
    }
    _exit(0);
}

static int p95(struct server *auth, const struct load *load, double *ms_r,
               struct cm_err *err)
{
    struct load_result res;
    if (server_turn(auth, load, &res, err) != 0) {
        return -1;
    }
    *ms_r = load_wait_ms(&res, 0.95);
    load_clear(&res);
    return 0;
}

/* The same logins while the flood flows. */
static int p95_flooded(struct server *auth, const struct load *load, uint64_t first,
                       double *ms_r, struct cm_err *err)
{
    pid_t pid = flood_start(auth, first);
    int rc = p95(auth, load, ms_r, err);
    if (waitpid(pid, NULL, WNOHANG) != 0) {
        return rc != 0 ? rc : cm_err_set(err, CM_ERR_WORLD, "the flood did not flow");
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return rc;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double values[TURNS])
{
    qsort(values, TURNS, sizeof(values[0]), compare_doubles);
    return values[TURNS / 2];
}

/* In turns, and the median of each: a p95 of a few seconds moves by half with whatever
 * else the machine does. */
static int flood(struct house *house, struct server *auth, int64_t ms,
                 struct rows *rows, struct cm_err *err)
{
    struct load load = known;
    double calm[TURNS], flooded[TURNS];
    load.ms = ms;
    for (int i = 0; i < TURNS; i++) {
        if (p95(auth, &load, &calm[i], err) != 0 ||
            p95_flooded(auth, &load, (uint64_t)i * 100000, &flooded[i], err) != 0) {
            return -1;
        }
    }
    const char *created =
        house_sql(house, "select count(*) > 0 from account where addr like 'f%'");
    if (created[0] != 't') {
        return cm_err_set(err, CM_ERR_WORLD, "the flood did not flow");
    }
    double quiet = median(calm), loud = median(flooded);
    rows_add(rows, "auth_calm_p95", quiet, "ms");
    struct row *row = rows_add(rows, "auth_flood_p95", loud, "ms");
    row->compared_with = "calm";
    row->ratio = loud / quiet;
    snprintf(row->goal, sizeof(row->goal), "ratio <= %.1f", FLOOD_GOAL);
    row->ok = row->ratio <= FLOOD_GOAL;
    return 0;
}

int bench_create(enum bench_size size, struct rows *rows, struct cm_err *err)
{
    int64_t ms = size == BENCH_QUICK ? 500 : 3000;
    const struct house_daemon *daemon = house_find("chatmail-auth");
    struct house *house = NULL;
    int rc = house_open(&house, err);
    if (rc == 0) {
        struct server auth = {.path = house_socket(house, daemon),
                              .pid = house_start(house, daemon)};
        rc = server_wait(&auth, &known, err);
        if (rc == 0) {
            rc = creation(&auth, ms, rows, err);
        }
        if (rc == 0) {
            rc = flood(house, &auth, ms, rows, err);
        }
    }
    house_close(&house);
    return rc;
}
