/* What our daemons hold, idle and after a load: the proportional set size, in which
 * what several share counts once. All of them run at the same time, as on a store.
 *
 * What two of them run as children is not ours and not in the sum: coturn and the chat
 * core of echo. Each has a row of its own; the core's shows it alone, without an
 * account, and only where $CHAT_SERVER names it, for it is no Debian package. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "common/clock.h"
#include "daemonkit/daemonkit.h"
#include "house.h"
#include "lookups.h"
#include "process.h"
#include "server.h"

#define SUM_GOAL_MB 40.0
#define BEGIN_MS    20000 /* until what they run has begun */
#define SETTLE_S    2
#define STAND_IN    "stand-in for the chat core"

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

#if defined(ECHO_PROGRAM) || defined(TURN_PROGRAM)
/* For its figures, which it gives to whoever connects. */
static size_t ask_nothing(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx)
{
    (void)out;
    (void)i;
    (void)ctx;
    return 0;
}
#endif

#ifdef TRANSPORT_PROGRAM
#define MAIL_LANES 32
#define MAIL_HOSTS 500 /* as many as may have mail at a time */
#define MAIL                                                                           \
    "LHLO bench\r\nMAIL FROM:<a@" HOUSE_DOMAIN ">\r\nRCPT TO:<b@[127.0.%zu.%zu]>\r\n"  \
    "DATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n"

/* A whole session; the message is put off, for nobody is there: after DATA, and at once
 * when that is known already. */
static int hear_mail(int fd, struct cm_err *err)
{
    char text[4096];
    size_t len = 0;
    ssize_t n;
    while ((n = recv(fd, text + len, sizeof(text) - 1 - len, 0)) > 0) {
        len += (size_t)n;
    }
    text[len] = '\0';
    return strstr(text, "\r\n4") != NULL
               ? 0
               : cm_err_set(err, CM_ERR_WORLD, "it said \"%.200s\"", text);
}

static int pass_mail(const struct server *server, int64_t ms, struct cm_err *err)
{
    int64_t end_ms = cm_now_mono_ms() + ms;
    char mail[256];
    size_t count = 0; /* each to another destination than the last ones */
    int rc = 0;
    do {
        int fds[MAIL_LANES];
        for (size_t i = 0; i < MAIL_LANES; i++) {
            fds[i] = daemonkit_dial(server->path);
            snprintf(mail, sizeof(mail), MAIL, count % MAIL_HOSTS / 250 + 1,
                     count % 250 + 1);
            count++;
            daemonkit_say_text(fds[i], mail);
        }
        for (size_t i = 0; i < MAIL_LANES; i++) {
            rc = rc != 0 ? rc : hear_mail(fds[i], err);
            close(fds[i]);
        }
    } while (rc == 0 && cm_now_mono_ms() < end_ms);
    return rc;
}
#endif

/* One for each daemon of the house. With neither request nor work it is only weighed.
 */
static const struct user {
    const char *daemon;
    const char *row;
    struct load load;
    int (*work)(const struct server *server, int64_t ms, struct cm_err *err);
    const char *child; /* the row of what it runs, which is not ours */
} users[] = {
    {"chatmail-auth", "auth",
     .load = {.hello = LOOKUPS_HELLO,
              .lanes = 256,
              .expect = "O{",
              .request = lookups_known}},
    {"chatmail-lastlogin", "lastlogin",
     .load = {.hello = LASTLOGIN_HELLO,
              .lanes = 256,
              .expect = "O1",
              .request = ask_login}},
    {"chatmail-metadata", "metadata",
     .load =
         {.hello = METADATA_HELLO, .lanes = 256, .expect = "O", .request = ask_token}},
    {"chatmail-cluster", "cluster",
     .load = {.hello = "",
              .lanes = 16,
              .shut = true,
              .fresh = true,
              .expect = "{",
              .request = ask_status}},
#ifdef PUSH_PROGRAM
    {"chatmail-push", "push",
     .load =
         {.hello = "", .lanes = 64, .fresh = true, .expect = "+", .request = ask_bell}},
#endif
#ifdef WEB_PROGRAM
    {"chatmail-web", "web",
     .load = {.hello = "",
              .lanes = 64,
              .fresh = true,
              .expect = "HTTP",
              .request = ask_web}},
#endif
#ifdef FILTER_PROGRAM
    {"chatmail-filter-in", "filter_in", .load = {.request = NULL}},
    {"chatmail-filter-out", "filter_out", .load = {.request = NULL}},
    {"chatmail-filter-sign", "filter_sign", .load = {.request = NULL}},
#endif
#ifdef TRANSPORT_PROGRAM
    {"chatmail-transport", "transport", .load = {.request = NULL}, .work = pass_mail},
#endif
#ifdef ECHO_PROGRAM
    {"chatmail-echo", "echo",
     .load = {.hello = "",
              .lanes = 8,
              .fresh = true,
              .expect = "# ",
              .request = ask_nothing},
     .child = STAND_IN},
#endif
#ifdef TURN_PROGRAM
    {"chatmail-turn", "turn",
     .load = {.hello = "",
              .lanes = 8,
              .fresh = true,
              .expect = "# ",
              .request = ask_nothing},
     .child = "coturn"},
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
    double mb, child;
    *sum_r = 0;
    for (size_t i = 0; i < USERS; i++) {
        if (process_pss_mb(servers[i].pid, &mb, err) != 0) {
            return cm_err_prefix(err, "%s", users[i].daemon);
        }
        if (users[i].child != NULL) {
            if (process_pss_children_mb(servers[i].pid, &child, err) != 0) {
                return cm_err_prefix(err, "%s", users[i].child);
            }
            mb -= child;
            if (strcmp(users[i].child, STAND_IN) != 0) {
                add(rows, users[i].child, when, child);
            }
        }
        add(rows, users[i].row, when, mb);
        *sum_r += mb;
    }
    return 0;
}

static int wait_for_children(const struct server servers[USERS], struct cm_err *err)
{
    int64_t end_ms = cm_now_mono_ms() + BEGIN_MS;
    for (size_t i = 0; i < USERS; i++) {
        double mb = users[i].child != NULL ? 0 : 1;
        while (mb <= 0) {
            if (process_pss_children_mb(servers[i].pid, &mb, err) != 0) {
                return cm_err_prefix(err, "%s", users[i].daemon);
            }
            if (cm_now_mono_ms() > end_ms) {
                return cm_err_set(err, CM_ERR_WORLD, "%s runs no %s", users[i].daemon,
                                  users[i].child);
            }
            usleep(100000);
        }
    }
    return 0;
}

static int work(struct server servers[USERS], int64_t ms, struct cm_err *err)
{
    for (size_t i = 0; i < USERS; i++) {
        struct load load = users[i].load;
        if (users[i].work != NULL && users[i].work(&servers[i], ms, err) != 0) {
            return cm_err_prefix(err, "%s", users[i].daemon);
        }
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

static _Noreturn void become_core(const char *core, const char *dir, int in)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("DC_ACCOUNTS_PATH", dir, 1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(in, STDIN_FILENO); /* it ends with that */
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execl(core, core, (char *)NULL);
    _exit(127);
}

static int weigh_chat_core(struct house *house, struct rows *rows, struct cm_err *err)
{
    const char *core = getenv("CHAT_SERVER"), *dir = house_path(house, "core");
    int pipes[2];
    double mb;
    if (core == NULL || core[0] == '\0') {
        fprintf(stderr, "bench-store: memory: no row chat_core: CHAT_SERVER names no "
                        "deltachat-rpc-server\n");
        return 0;
    }
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "no pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        become_core(core, dir, pipes[0]);
    }
    sleep(SETTLE_S);
    int rc = process_pss_mb(pid, &mb, err);
    if (rc == 0) {
        add(rows, "chat_core", "idle", mb);
    }
    close(pipes[0]);
    close(pipes[1]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return rc == 0 ? 0 : cm_err_prefix(err, "%s", core);
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
    if (wait_for_children(servers, err) != 0) {
        return -1;
    }
    sleep(SETTLE_S);
    if (weigh(servers, "idle", rows, &idle, err) != 0 || work(servers, ms, err) != 0 ||
        weigh(servers, "after", rows, &busy, err) != 0) {
        return -1;
    }
    if (weigh_chat_core(house, rows, err) != 0) {
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
