#include "redisfixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "common/buf.h"
#include "common/mem.h"

/* redis-server and its checkers are one program; redis-tools alone has it too. */
#define PROGRAM     "/usr/bin/redis-check-rdb"
#define OPTIONS_MAX 8
#define WORDS_MAX   16
#define ANSWER_MAX  (16u << 20)

struct redisfixture {
    char dir[64];
    char path[96];
    pid_t server;
    char *options[2 * OPTIONS_MAX];
    size_t option_count; /* names and values */
    struct cm_buf answer;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "redisfixture: %s: %s\n", what, why);
    exit(99);
}

struct redisfixture *redisfixture_new(void)
{
    if (access(PROGRAM, X_OK) != 0) {
        return NULL;
    }
    struct redisfixture *fx = cm_calloc(1, sizeof(*fx));
    snprintf(fx->dir, sizeof(fx->dir), "/tmp/redisfixture-XXXXXX");
    if (mkdtemp(fx->dir) == NULL || chmod(fx->dir, 0755) != 0) {
        die(fx->dir, strerror(errno));
    }
    snprintf(fx->path, sizeof(fx->path), "%s/sock", fx->dir);
    cm_buf_init(&fx->answer, ANSWER_MAX);
    redisfixture_start(fx);
    return fx;
}

void redisfixture_option(struct redisfixture *fx, const char *name, const char *value)
{
    cm_assert(fx->option_count + 2 <= 2 * OPTIONS_MAX);
    fx->options[fx->option_count++] = cm_asprintf("--%s", name);
    fx->options[fx->option_count++] = cm_strdup(value);
}

static _Noreturn void become_server(const struct redisfixture *fx)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    static const char *const fixed[] = {
        "redis-server", "--port",      "0", "--unixsocketperm",
        "777",          "--save",      "",  "--appendonly",
        "yes",          "--daemonize", "no"};
    const char *argv[sizeof(fixed) / sizeof(fixed[0]) + 2 * OPTIONS_MAX + 8];
    size_t n = 0;
    for (; n < sizeof(fixed) / sizeof(fixed[0]); n++) {
        argv[n] = fixed[n];
    }
    argv[n++] = "--unixsocket";
    argv[n++] = fx->path;
    argv[n++] = "--dir";
    argv[n++] = fx->dir;
    for (size_t i = 0; i < fx->option_count; i++) {
        argv[n++] = fx->options[i];
    }
    argv[n] = NULL;
    char log[96];
    snprintf(log, sizeof(log), "%s/log", fx->dir);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    union {
        const char **in;
        char **out;
    } u = {.in = argv}; /* exec does not change it */
    execv(PROGRAM, u.out);
    _exit(96);
}

void redisfixture_spawn(struct redisfixture *fx)
{
    fx->server = fork();
    if (fx->server < 0) {
        die("fork", strerror(errno));
    }
    if (fx->server == 0) {
        become_server(fx);
    }
}

static redisContext *dial(const struct redisfixture *fx)
{
    redisContext *link = redisConnectUnix(fx->path);
    if (link != NULL && link->err != 0) {
        redisFree(link);
        link = NULL;
    }
    return link;
}

static int is_ready(const struct redisfixture *fx)
{
    redisContext *link = dial(fx);
    if (link == NULL) {
        return 0;
    }
    redisReply *reply = redisCommand(link, "PING");
    int ready = reply != NULL && reply->type == REDIS_REPLY_STATUS;
    if (reply != NULL) {
        freeReplyObject(reply);
    }
    redisFree(link);
    return ready;
}

void redisfixture_start(struct redisfixture *fx)
{
    redisfixture_spawn(fx);
    for (int i = 0; i < 1500; i++) {
        if (is_ready(fx)) {
            return;
        }
        usleep(20000);
    }
    die("server does not start, see", fx->dir);
}

static void end(struct redisfixture *fx, int signo)
{
    if (fx->server > 0) {
        kill(fx->server, signo);
        waitpid(fx->server, NULL, 0);
        fx->server = 0;
    }
}

void redisfixture_stop(struct redisfixture *fx)
{
    end(fx, SIGTERM);
}

void redisfixture_kill(struct redisfixture *fx)
{
    end(fx, SIGKILL);
}

void redisfixture_freeze(struct redisfixture *fx)
{
    kill(fx->server, SIGSTOP);
}

void redisfixture_unfreeze(struct redisfixture *fx)
{
    kill(fx->server, SIGCONT);
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void redisfixture_free(struct redisfixture **fxp)
{
    struct redisfixture *fx = *fxp;
    if (fx == NULL) {
        return;
    }
    *fxp = NULL;
    end(fx, SIGKILL);
    nftw(fx->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    for (size_t i = 0; i < fx->option_count; i++) {
        free(fx->options[i]);
    }
    cm_buf_clear(&fx->answer);
    free(fx);
}

const char *redisfixture_path(const struct redisfixture *fx)
{
    return fx->path;
}

static void add_reply(struct cm_buf *out, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_INTEGER) {
        cm_buf_fmt(out, "%lld", reply->integer);
    } else if (reply->type == REDIS_REPLY_ARRAY) {
        for (size_t i = 0; i < reply->elements; i++) {
            cm_buf_str(out, i > 0 ? " " : "");
            add_reply(out, reply->element[i]);
        }
    } else if (reply->type != REDIS_REPLY_NIL) {
        cm_buf_add(out, reply->str, reply->len);
    }
}

const char *redisfixture_ask(struct redisfixture *fx, ...)
{
    const char *words[WORDS_MAX];
    int n = 0;
    va_list ap;
    va_start(ap, fx);
    const char *word;
    while (n < WORDS_MAX && (word = va_arg(ap, const char *)) != NULL) {
        words[n++] = word;
    }
    va_end(ap);
    redisContext *link = dial(fx);
    if (link == NULL) {
        die("connect", fx->path);
    }
    redisReply *reply = redisCommandArgv(link, n, words, NULL);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        die(words[0], reply != NULL ? reply->str : link->errstr);
    }
    cm_buf_reset(&fx->answer);
    add_reply(&fx->answer, reply);
    freeReplyObject(reply);
    redisFree(link);
    return fx->answer.data;
}
