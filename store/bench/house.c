#include "house.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"
#include "daemonkit/daemonkit.h"
#include "expire/tree.h"
#include "pgfixture/pgfixture.h"
#include "redisfixture/redisfixture.h"

#define TEXTS_MAX   192
#define DAEMONS_MAX 16

#ifndef FAKE_CORE /* as in a build for fuzzing */
#define FAKE_CORE "/nonexistent"
#endif

struct house {
    char *dir;
    struct pgfixture *pg;
    struct redisfixture *redis;
    char *texts[TEXTS_MAX];
    size_t text_count;
    pid_t running[DAEMONS_MAX]; /* 0: a free place */
};

/* Daemons */

static void args_auth(struct house *h, const char *argv[HOUSE_ARGS_MAX])
{
    const char *args[] = {AUTH_PROGRAM,
                          "--config",
                          house_path(h, "chatmail.ini"),
                          "--db",
                          house_db(h, "chatmail_auth"),
                          "--nocreate",
                          house_path(h, "nocreate"),
                          "--redis",
                          house_redis(h),
                          "--sasl-upstream",
                          house_path(h, "auth-sasl")};
    memcpy(argv, args, sizeof(args));
}

static void args_lastlogin(struct house *h, const char *argv[HOUSE_ARGS_MAX])
{
    argv[0] = LASTLOGIN_PROGRAM;
    argv[1] = "--db";
    argv[2] = house_db(h, "chatmail_lastlogin");
}

static void args_metadata(struct house *h, const char *argv[HOUSE_ARGS_MAX])
{
    const char *args[] = {METADATA_PROGRAM,
                          "--config",
                          house_path(h, "chatmail.ini"),
                          "--db",
                          house_db(h, "chatmail_metadata"),
                          "--bell",
                          house_path(h, "bell"),
                          "--bell-dir",
                          house_path(h, "bells"),
                          "--app-versions",
                          house_path(h, "versions.json")};
    memcpy(argv, args, sizeof(args));
}

/* It makes tunnels and keeps its keys in /etc: so in namespaces of its own. */
static void args_cluster(struct house *h, const char *argv[HOUSE_ARGS_MAX])
{
    static const char script[] =
        "mkdir -p \"$1/up\" \"$1/work\"; mount -t overlay overlay -o "
        "\"lowerdir=/etc,upperdir=$1/up,workdir=$1/work\" /etc; "
        "\"$2\" keygen >/dev/null; exec \"$2\" --db \"$3\"";
    const char *args[] = {"/usr/bin/unshare",
                          "--mount",
                          "--net",
                          "--",
                          "/bin/sh",
                          "-ec",
                          script,
                          "sh",
                          house_path(h, "cluster"),
                          CLUSTER_PROGRAM,
                          house_db(h, "chatmail_cluster")};
    memcpy(argv, args, sizeof(args));
}

#ifdef PUSH_PROGRAM
static void args_push(struct house *h, const char *argv[HOUSE_ARGS_MAX])
{
    const char *args[] = {PUSH_PROGRAM,
                          "--config",
                          house_path(h, "chatmail.ini"),
                          "--db",
                          house_db(h, "chatmail_push"),
                          "--redis",
                          house_redis(h),
                          "--spool",
                          house_path(h, "bells")};
    memcpy(argv, args, sizeof(args));
}
#endif

#ifdef WEB_PROGRAM
static void args_web(struct house *h, const char *argv[HOUSE_ARGS_MAX])
{
    const char *args[] = {WEB_PROGRAM,
                          "--config",
                          house_path(h, "chatmail.ini"),
                          "--redis",
                          house_redis(h),
                          "--nocreate",
                          house_path(h, "nocreate"),
                          "--metrics-dir",
                          house_path(h, "metrics"),
                          "--textfiles",
                          house_path(h, "textfiles"),
                          "--queue",
                          house_path(h, "queue")};
    memcpy(argv, args, sizeof(args));
}
#endif

#ifdef FILTER_PROGRAM
static void args_filter(struct house *h, const char *argv[HOUSE_ARGS_MAX],
                        const char *mode)
{
    const char *args[] = {FILTER_PROGRAM,
                          "--mode",
                          mode,
                          "--config",
                          house_path(h, "chatmail.ini"),
                          "--db",
                          house_db(h, "chatmail_filter"),
                          "--redis",
                          house_redis(h),
                          "--dns",
                          "127.0.0.1"};
    memcpy(argv, args, sizeof(args));
}

static void args_filter_in(struct house *h, const char *argv[HOUSE_ARGS_MAX])
{
    args_filter(h, argv, "incoming");
}

static void args_filter_out(struct house *h, const char *argv[HOUSE_ARGS_MAX])
{
    args_filter(h, argv, "outgoing");
}

static void args_filter_sign(struct house *h, const char *argv[HOUSE_ARGS_MAX])
{
    args_filter(h, argv, "signing");
}
#endif

#ifdef TRANSPORT_PROGRAM
/* Whatever it sends is refused at once: nobody listens on those ports. */
static void args_transport(struct house *h, const char *argv[HOUSE_ARGS_MAX])
{
    const char *args[] = {TRANSPORT_PROGRAM,
                          "--config",
                          house_path(h, "chatmail.ini"),
                          "--egress",
                          house_path(h, "egress"),
                          "--state",
                          house_path(h, "transport"),
                          "--spool",
                          house_path(h, "transport"),
                          "--resolver",
                          "127.0.0.1#1",
                          "--https-port",
                          "1",
                          "--smtp-port",
                          "2",
                          "--reach",
                          "any"};
    memcpy(argv, args, sizeof(args));
}
#endif

#ifdef ECHO_PROGRAM
/* With the core of its own tests: the real one ends where it has no server. */
static void args_echo(struct house *h, const char *argv[HOUSE_ARGS_MAX])
{
    const char *args[] = {ECHO_PROGRAM,
                          "--config",
                          house_path(h, "chatmail.ini"),
                          "--db",
                          house_db(h, "chatmail_echo"),
                          "--core",
                          FAKE_CORE,
                          "--dir",
                          house_path(h, "echo")};
    memcpy(argv, args, sizeof(args));
}
#endif

#ifdef TURN_PROGRAM
static void args_turn(struct house *h, const char *argv[HOUSE_ARGS_MAX])
{
    const char *args[] = {TURN_PROGRAM, "--number", "1", "--conf",
                          house_path(h, "turnserver.conf")};
    memcpy(argv, args, sizeof(args));
}
#endif

const struct house_daemon house_daemons[] = {

    {"chatmail-auth", "dict", args_auth},
    {"chatmail-lastlogin", "dict", args_lastlogin},
    {"chatmail-metadata", "dict", args_metadata},
    {"chatmail-cluster", "control", args_cluster},
#ifdef PUSH_PROGRAM
    {"chatmail-push", "bell", args_push},
#endif
#ifdef WEB_PROGRAM
    {"chatmail-web", "http", args_web},
#endif
#ifdef FILTER_PROGRAM
    {"chatmail-filter-in", "milter", args_filter_in},
    {"chatmail-filter-out", "milter", args_filter_out},
    {"chatmail-filter-sign", "milter", args_filter_sign},
#endif
#ifdef TRANSPORT_PROGRAM
    {"chatmail-transport", "lmtp", args_transport},
#endif
#ifdef ECHO_PROGRAM
    {"chatmail-echo", "metrics", args_echo},
#endif
#ifdef TURN_PROGRAM
    {"chatmail-turn", "metrics", args_turn},
#endif
};
const size_t house_daemon_count = sizeof(house_daemons) / sizeof(house_daemons[0]);

const struct house_daemon *house_find(const char *name)
{
    for (size_t i = 0; i < house_daemon_count; i++) {
        if (strcmp(house_daemons[i].name, name) == 0) {
            return &house_daemons[i];
        }
    }
    cm_assert(!"no such daemon");
    return NULL;
}

/* Texts that live as long as the house */

static const char *keep(struct house *h, char *text)
{
    cm_assert(h->text_count < TEXTS_MAX);
    h->texts[h->text_count++] = text;
    return text;
}

const char *house_path(struct house *h, const char *name)
{
    return keep(h, cm_asprintf("%s/%s", h->dir, name));
}

const char *house_db(struct house *h, const char *role)
{
    return keep(h, cm_strdup(pgfixture_conninfo(h->pg, "chatmail", role)));
}

const char *house_redis(struct house *h)
{
    return redisfixture_path(h->redis);
}

const char *house_socket(struct house *h, const struct house_daemon *daemon)
{
    return keep(h, cm_asprintf("%s/%s.%s", h->dir, daemon->name, daemon->socket));
}

const char *house_sql(struct house *h, const char *sql)
{
    return pgfixture_sql(h->pg, "chatmail", sql);
}

void house_account(char out[HOUSE_ACCOUNT_SIZE], unsigned number)
{
    snprintf(out, HOUSE_ACCOUNT_SIZE, "u%06u@" HOUSE_DOMAIN, number);
}

/* Open and close */

/* A port that a neighbour may have taken fails the bench, which then says so. */
static int furnish_turn(struct house *h, struct cm_err *err)
{
    char *text =
        cm_asprintf("realm=" HOUSE_DOMAIN "\nlistening-port=53478\n"
                    "listening-ip=127.0.0.1\nmin-port=53500\nmax-port=53699\n"
                    "use-auth-secret\nstatic-auth-secret=bench\nno-tcp\nno-tcp-relay\n"
                    "no-tls\nno-dtls\nno-cli\nrelay-threads=1\nsimple-log\n"
                    "no-stdout-log\nlog-file=/dev/null\nuserdb=%s/turndb\n",
                    h->dir);
    const char *path = house_path(h, "turnserver.conf");
    int rc = cm_file_replace(path, text, strlen(text), 0600, err);
    free(text);
    return rc;
}

static int furnish(struct house *h, struct cm_err *err)
{
    const char *argv[] = {SCHEMA_DIR "/schema-apply", SCHEMA_DIR, NULL};
    const char *ini = house_path(h, "chatmail.ini");
    /* What the machine is doing meanwhile must not refuse accounts, and nothing may
     * leave it. */
    char *text = cm_asprintf("[params]\nmail_domain = " HOUSE_DOMAIN "\n"
                             "mailboxes_dir = %s\nmax_load_1m = 100000\n"
                             "min_available_memory = 1M\nmin_free_disk_space = 1M\n"
                             "[store]\ncreations_per_net = 1000000\n"
                             "creations_per_gateway = 1000000\n"
                             "notification_url = http://127.0.0.1:1/\n",
                             h->dir);
    setenv("PGHOST", pgfixture_dir(h->pg), 1);
    int rc = cm_file_replace(ini, text, strlen(text), 0644, err);
    free(text);
    if (rc != 0 || furnish_turn(h, err) != 0 ||
        cm_file_mkdirs(house_path(h, "bells"), 0700, err) != 0 ||
        cm_file_mkdirs(house_path(h, "transport"), 0700, err) != 0 ||
        cm_file_mkdirs(house_path(h, "echo"), 0700, err) != 0 ||
        cm_run_ok(&(struct cm_run){.argv = argv}, NULL, err) != 0) {
        return -1;
    }
    /* One hash for all: nobody compares it here. */
    text = cm_asprintf(
        "insert into account (addr, password) select 'u' || lpad(i::text, 6, '0') || "
        "'@" HOUSE_DOMAIN "', '{SHA512-CRYPT}$6$' || repeat('x', 16) || '$' || "
        "repeat('y', 86) from generate_series(0, %d) i; analyze account",
        HOUSE_ACCOUNTS - 1);
    house_sql(h, text);
    free(text);
    return 0;
}

int house_open(struct house **house_r, struct cm_err *err)
{
    const char *tmp = getenv("TMPDIR");
    struct house *h = cm_calloc(1, sizeof(*h));
    h->dir = cm_asprintf("%.40s/bench-store-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(h->dir) == NULL) {
        free(h->dir);
        free(h);
        return cm_err_set(err, CM_ERR_WORLD, "no directory for temporary files");
    }
    h->pg = pgfixture_new();
    h->redis = redisfixture_new();
    if (h->pg == NULL || h->redis == NULL) {
        house_close(&h);
        return cm_err_set(err, CM_ERR_WORLD,
                          "PostgreSQL 15 or Redis is missing: apt install postgresql "
                          "redis-tools");
    }
    if (furnish(h, err) != 0) {
        house_close(&h);
        return -1;
    }
    *house_r = h;
    return 0;
}

void house_close(struct house **house)
{
    struct house *h = *house;
    struct cm_err ignored;
    int64_t files;
    if (h == NULL) {
        return;
    }
    *house = NULL;
    for (size_t i = 0; i < DAEMONS_MAX; i++) {
        if (h->running[i] != 0) {
            house_stop(h, h->running[i]);
        }
    }
    pgfixture_free(&h->pg);
    redisfixture_free(&h->redis);
    if (tree_remove(AT_FDCWD, h->dir, &files, &ignored) != 0) {
        fprintf(stderr, "bench-store: %s stays: %s\n", h->dir, ignored.text);
    }
    for (size_t i = 0; i < h->text_count; i++) {
        free(h->texts[i]);
    }
    free(h->dir);
    free(h);
}

/* Start and stop */

pid_t house_start(struct house *h, const struct house_daemon *daemon)
{
    const char *argv[HOUSE_ARGS_MAX + 1] = {NULL};
    const char *path = house_socket(h, daemon);
    size_t place = 0;
    daemon->args(h, argv);
    while (h->running[place] != 0) {
        place++;
        cm_assert(place < DAEMONS_MAX);
    }
    unlink(path);
    int listener = daemonkit_listen(path);
    h->running[place] =
        daemonkit_start(argv, listener, daemon->socket, house_path(h, "log"));
    close(listener);
    return h->running[place];
}

void house_stop(struct house *h, pid_t pid)
{
    for (size_t i = 0; i < DAEMONS_MAX; i++) {
        if (h->running[i] == pid) {
            h->running[i] = 0;
            daemonkit_stop(pid, SIGTERM);
            return;
        }
    }
    cm_assert(!"not started here");
}
