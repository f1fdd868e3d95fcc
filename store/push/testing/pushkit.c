#include "pushkit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/doorbell.h"
#include "common/file.h"
#include "common/run.h"
#include "daemonkit/daemonkit.h"
#include "notifier/control.h"

#define ANSWER_MAX (256u << 20)

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "pushkit: %s: %s\n", what, why);
    abort();
}

static void path_in(const struct pushkit *kit, char out[96], const char *name)
{
    snprintf(out, 96, "%s/%s", kit->dir, name);
}

static void run(const char *script, const char *arg)
{
    const char *argv[] = {"sh", "-ec", script, "sh", arg, NULL};
    struct cm_err err;
    if (cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &err) != 0) {
        die("sh", err.text);
    }
}

bool pushkit_until(bool (*is_so)(void *ctx), void *ctx, int64_t limit_ms)
{
    int64_t end = cm_now_mono_ms() + limit_ms;
    while (!is_so(ctx)) {
        if (cm_now_mono_ms() > end) {
            return false;
        }
        usleep(10000);
    }
    return true;
}

/* The notifier */

static int read_port(int fd)
{
    char line[64] = "";
    int port = 0;
    FILE *out = fdopen(fd, "r");
    if (fgets(line, sizeof(line), out) == NULL ||
        sscanf(line, "notifier: port %d", &port) != 1) {
        die("notifier", line);
    }
    fclose(out);
    return port;
}

void pushkit_notifier_start(struct pushkit *kit)
{
    char key[96], port[16];
    int pipes[2];
    path_in(kit, key, "ca.key");
    snprintf(port, sizeof(port), "%d", kit->port);
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        die("pipe", strerror(errno));
    }
    kit->notifier = fork();
    if (kit->notifier == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(pipes[1], STDOUT_FILENO);
        execl(NOTIFIER, NOTIFIER, "--port", port, "--control", kit->control,
              "--ca-cert", kit->ca, "--ca-key", key, "--name", "127.0.0.1",
              (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    kit->port = read_port(pipes[0]);
}

static void end(pid_t *pid, int signo)
{
    if (*pid > 0) {
        kill(*pid, signo);
        waitpid(*pid, NULL, 0);
        *pid = 0;
    }
}

void pushkit_notifier_stop(struct pushkit *kit)
{
    end(&kit->notifier, SIGKILL);
}

const char *pushkit_ask(struct pushkit *kit, const char *fmt, ...)
{
    static char *answer;
    char line[CONTROL_LINE_MAX];
    struct cm_buf out;
    struct cm_err err;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    cm_buf_init(&out, ANSWER_MAX);
    if (control_ask(kit->control, line, &out, &err) != 0) {
        die(line, err.text);
    }
    free(answer);
    answer = cm_buf_steal(&out);
    return answer;
}

long pushkit_count(struct pushkit *kit, const char *prefix)
{
    return strtol(pushkit_ask(kit, "count %s", prefix), NULL, 10);
}

/* Push */

void pushkit_write_ini(struct pushkit *kit, const char *url)
{
    char text[512];
    struct cm_err err;
    snprintf(text, sizeof(text),
             "[params]\nmail_domain = chat.example.org\n"
             "[store]\nnotification_url = %s\n",
             url);
    if (cm_file_replace(kit->ini, text, strlen(text), 0644, &err) != 0) {
        die(kit->ini, err.text);
    }
}

static pid_t spawn(const struct pushkit *kit, const char *retry_ms)
{
    char db[256];
    snprintf(db, sizeof(db), "%s",
             pgfixture_conninfo(kit->pg, "chatmail", "chatmail_push"));
    const char *argv[] = {PUSH_PROGRAM,
                          "--config",
                          kit->ini,
                          "--db",
                          db,
                          "--redis",
                          redisfixture_path(kit->redis),
                          "--spool",
                          kit->spool,
                          "--ca",
                          kit->ca,
                          retry_ms != NULL ? "--retry-ms" : NULL,
                          retry_ms,
                          NULL};
    const int listeners[] = {kit->bell_fd, kit->metrics_fd};
    return daemonkit_start_with(argv, listeners, "bell:metrics", kit->log);
}

static bool is_settled(void *ctx)
{
    struct pushkit *kit = ctx;
    return pushkit_metric(kit, "chatmail_push_redis_up") > 0 &&
           pushkit_metric(kit, "chatmail_push_postgres_up") > 0;
}

void pushkit_start(struct pushkit *kit, const char *retry_ms)
{
    kit->push = spawn(kit, retry_ms);
    (void)pushkit_until(is_settled, kit, 2000);
}

int pushkit_stop(struct pushkit *kit, int signo)
{
    int status = daemonkit_stop(kit->push, signo);
    kit->push = 0;
    return status;
}

void pushkit_token(struct pushkit *kit, const char *addr, const char *token)
{
    char sql[1024];
    snprintf(sql, sizeof(sql),
             "insert into push_token (addr, token) values ('%s', convert_to('%s', "
             "'utf8'))",
             addr, token);
    pgfixture_sql(kit->pg, "chatmail", sql);
}

int pushkit_ring(struct pushkit *kit, const char *addr)
{
    /* There is no such directory, so nothing is left. */
    return cm_doorbell_ring(kit->bell, "/nonexistent", addr, 5000) == CM_DOORBELL_TOLD
               ? 0
               : -1;
}

double pushkit_metric(struct pushkit *kit, const char *line)
{
    char text[65536];
    size_t len = 0;
    ssize_t n;
    int fd = daemonkit_dial(kit->metrics);
    while ((n = recv(fd, text + len, sizeof(text) - 1 - len, 0)) > 0) {
        len += (size_t)n;
    }
    close(fd);
    text[len] = '\0';
    size_t size = strlen(line);
    for (const char *l = text; l != NULL && *l != '\0'; l = strchr(l, '\n')) {
        l += *l == '\n';
        if (strncmp(l, line, size) == 0 && l[size] == ' ') {
            return strtod(l + size, NULL);
        }
    }
    return -1;
}

/* The whole */

static void make_ca(struct pushkit *kit)
{
    path_in(kit, kit->ca, "ca.pem");
    run("cd $1; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        " -keyout ca.key -out ca.pem -days 2 -subj /CN=test 2>&1",
        kit->dir);
}

bool pushkit_open(struct pushkit *kit)
{
    char url[64];
    *kit = (struct pushkit){.bell_fd = -1, .metrics_fd = -1};
    kit->pg =
        pgfixture_chatmail(SCHEMA_DIR, "001-account", "003-token", "005-push", NULL);
    kit->redis = kit->pg != NULL ? redisfixture_new() : NULL;
    if (kit->redis == NULL) {
        pgfixture_free(&kit->pg);
        return false;
    }
    redisfixture_option(kit->redis, "appendfsync", "always");
    redisfixture_stop(kit->redis);
    redisfixture_start(kit->redis);
    daemonkit_dir(kit->dir, "push");
    path_in(kit, kit->bell, "bell");
    path_in(kit, kit->metrics, "metrics");
    path_in(kit, kit->spool, "spool");
    path_in(kit, kit->control, "control");
    path_in(kit, kit->log, "log");
    path_in(kit, kit->ini, "chatmail.ini");
    make_ca(kit);
    kit->bell_fd = daemonkit_listen(kit->bell);
    kit->metrics_fd = daemonkit_listen(kit->metrics);
    pushkit_notifier_start(kit);
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/notify", kit->port);
    pushkit_write_ini(kit, url);
    return true;
}

void pushkit_close(struct pushkit *kit)
{
    if (kit->pg == NULL) {
        return;
    }
    end(&kit->push, SIGKILL);
    end(&kit->notifier, SIGKILL);
    close(kit->bell_fd);
    close(kit->metrics_fd);
    pgfixture_free(&kit->pg);
    redisfixture_free(&kit->redis);
    daemonkit_dir_remove(kit->dir);
}
