/* What our daemons hold, idle and after a load: the proportional set size, in which
 * what several share counts once. All of them run at the same time, as on a store. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "house.h"
#include "lookups.h"
#include "process.h"
#include "server.h"

#define SUM_GOAL_MB 40.0

#define LASTLOGIN_HELLO "H3\t2\t0\t\tlastlogin\n"
#define METADATA_HELLO  "H3\t2\t0\t\tmetadata\n"

static size_t ask_login(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx)
{
    (void)ctx;
    char addr[HOUSE_ACCOUNT_SIZE];
    house_account(addr, (unsigned)(i % HOUSE_ACCOUNTS));
    int n = snprintf(out, LOAD_REQUEST_MAX,
                     "B1\t%s\nS1\tshared/last-login/%s\t1700000000\nC1\n", addr, addr);
    return (size_t)n;
}

/* As a phone does: registers its token, and reads it back. */
static size_t ask_token(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx)
{
    (void)ctx;
    char addr[HOUSE_ACCOUNT_SIZE];
    house_account(addr, (unsigned)(i / 2 % HOUSE_ACCOUNTS));
    int n = snprintf(out, LOAD_REQUEST_MAX,
                     i % 2 == 0 ? "B1\t%s\nS1\tpriv/guid/devicetoken\ttoken-%llu\nC1\n"
                                : "Lpriv/guid/devicetoken\t%s\n",
                     addr, (unsigned long long)i);
    return (size_t)n;
}

static size_t ask_status(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx)
{
    (void)i;
    (void)ctx;
    return (size_t)snprintf(out, LOAD_REQUEST_MAX, "status\n");
}

#ifdef PUSH_PROGRAM
static size_t ask_bell(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx)
{
    (void)ctx;
    char addr[HOUSE_ACCOUNT_SIZE];
    house_account(addr, (unsigned)(i % HOUSE_ACCOUNTS));
    return (size_t)snprintf(out, LOAD_REQUEST_MAX, "%s\n", addr);
}
#endif

#ifdef WEB_PROGRAM
static size_t ask_web(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx)
{
    (void)i;
    (void)ctx;
    return (size_t)snprintf(out, LOAD_REQUEST_MAX,
                            "POST /new HTTP/1.1\r\nHost: " HOUSE_DOMAIN
                            "\r\nContent-Length: 0\r\n\r\n");
}
#endif

/* One for each daemon of the house. Without a request it is only weighed. */
static const struct user {
    const char *daemon;
    const char *row;
    struct load load;
} users[] = {
    {"chatmail-auth",
     "auth",
     {.hello = LOOKUPS_HELLO, .lanes = 256, .expect = "O{", .request = lookups_known}},
    {"chatmail-lastlogin",
     "lastlogin",
     {.hello = LASTLOGIN_HELLO, .lanes = 256, .expect = "O1", .request = ask_login}},
    {"chatmail-metadata",
     "metadata",
     {.hello = METADATA_HELLO, .lanes = 256, .expect = "O", .request = ask_token}},
    {"chatmail-cluster",
     "cluster",
     {.hello = "",
      .lanes = 16,
      .shut = true,
      .fresh = true,
      .expect = "{",
      .request = ask_status}},
#ifdef PUSH_PROGRAM
    {"chatmail-push",
     "push",
     {.hello = "", .lanes = 64, .fresh = true, .expect = "+", .request = ask_bell}},
#endif
#ifdef WEB_PROGRAM
    {"chatmail-web",
     "web",
     {.hello = "", .lanes = 64, .fresh = true, .expect = "HTTP", .request = ask_web}},
#endif
#ifdef FILTER_PROGRAM
    {"chatmail-filter-in", "filter_in", {.request = NULL}},
    {"chatmail-filter-out", "filter_out", {.request = NULL}},
    {"chatmail-filter-sign", "filter_sign", {.request = NULL}},
#endif
};
#define USERS (sizeof(users) / sizeof(users[0]))

static void add(struct rows *rows, const char *who, const char *when, double mb)
{
    char name[64];
    snprintf(name, sizeof(name), "pss_%s_%s", who, when);
    rows_add(rows, name, mb, "MB");
}

static int weigh(const struct server servers[USERS], const char *when,
                 struct rows *rows, double *sum_r, struct cm_err *err)
{
    double mb;
    *sum_r = 0;
    for (size_t i = 0; i < USERS; i++) {
        if (process_pss_mb(servers[i].pid, &mb, err) != 0) {
            return cm_err_prefix(err, "%s", users[i].daemon);
        }
        add(rows, users[i].row, when, mb);
        *sum_r += mb;
    }
    return 0;
}

static int work(struct server servers[USERS], int64_t ms, struct cm_err *err)
{
    for (size_t i = 0; i < USERS; i++) {
        struct load load = users[i].load;
        if (load.request == NULL) {
            continue;
        }
        load.ms = ms;
        load.fresh = true;
        if (server_turn(&servers[i], &load, NULL, err) != 0) {
            return cm_err_prefix(err, "%s", users[i].daemon);
        }
        load.fresh = users[i].load.fresh; /* where a connection may be kept */
        if (server_turn(&servers[i], &load, NULL, err) != 0) {
            return cm_err_prefix(err, "%s", users[i].daemon);
        }
    }
    return 0;
}

static int measure(struct house *house, int64_t ms, struct rows *rows,
                   struct cm_err *err)
{
    struct server servers[USERS] = {0};
    double idle, busy;
    for (size_t i = 0; i < USERS; i++) {
        const struct house_daemon *daemon = house_find(users[i].daemon);
        servers[i].path = house_socket(house, daemon);
        servers[i].pid = house_start(house, daemon);
    }
    for (size_t i = 0; i < USERS; i++) {
        struct load one = users[i].load;
        one.fresh = true;
        if (one.request != NULL && server_wait(&servers[i], &one, err) != 0) {
            return cm_err_prefix(err, "%s", users[i].daemon);
        }
    }
    if (weigh(servers, "idle", rows, &idle, err) != 0 || work(servers, ms, err) != 0 ||
        weigh(servers, "after", rows, &busy, err) != 0) {
        return -1;
    }
    add(rows, "all", "idle", idle);
    struct row *row = rows_add(rows, "pss_all_after", busy, "MB");
    row->compared_with = "idle";
    row->ratio = busy / idle;
    snprintf(row->goal, sizeof(row->goal), "< %.0f", SUM_GOAL_MB);
    row->ok = busy < SUM_GOAL_MB;
    return 0;
}

int bench_memory(enum bench_size size, struct rows *rows, struct cm_err *err)
{
    struct house *house = NULL;
    cm_assert(USERS == house_daemon_count);
    int rc = house_open(&house, err);
    if (rc == 0) {
        rc = measure(house, size == BENCH_QUICK ? 300 : 2000, rows, err);
    }
    house_close(&house);
    return rc;
}
