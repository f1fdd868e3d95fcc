#include "pgfixture.h"

#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "common/err.h"
#include "common/file.h"
#include "common/mem.h"

#define BIN_DIR  "/usr/lib/postgresql/15/bin/"
#define FILE_MAX (1u << 20)

struct pgfixture {
    char dir[64];
    char data[80];
    pid_t server;
    char conninfo[256];
    char *value;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "pgfixture: %s: %s\n", what, why);
    exit(99);
}

/* Child only. Root may not run PostgreSQL. */
static void become_unprivileged(void)
{
    if (geteuid() != 0) {
        return;
    }
    struct passwd *pw = getpwnam("postgres");
    if (pw == NULL || initgroups(pw->pw_name, pw->pw_gid) != 0 ||
        setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0) {
        _exit(98);
    }
}

/* Its own process group, so that freeze reaches the backends as well. */
static pid_t spawn(const struct pgfixture *fx, char *const argv[])
{
    pid_t pid = fork();
    if (pid < 0) {
        die("fork", strerror(errno));
    }
    if (pid > 0) {
        return pid;
    }
    setpgid(0, 0);
    become_unprivileged();
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    char log[96];
    snprintf(log, sizeof(log), "%s/log", fx->dir);
    if (freopen(log, "a", stdout) == NULL || dup2(STDOUT_FILENO, STDERR_FILENO) < 0 ||
        chdir(fx->dir) != 0) {
        _exit(97);
    }
    execv(argv[0], argv);
    _exit(96);
}

static char *arg(const char *s)
{
    union {
        const char *in;
        char *out;
    } u = {.in = s};
    return u.out; /* exec does not change it */
}

static void init_cluster(struct pgfixture *fx)
{
    char *argv[] = {arg(BIN_DIR "initdb"),
                    arg("-D"),
                    fx->data,
                    arg("--no-sync"),
                    arg("-A"),
                    arg("trust"),
                    arg("-U"),
                    arg("postgres"),
                    arg("-E"),
                    arg("UTF8"),
                    arg("--locale"),
                    arg("C.UTF-8"),
                    arg("-k"),
                    NULL};
    pid_t pid = spawn(fx, argv);
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        die("initdb failed, see", fx->dir);
    }
}

struct pgfixture *pgfixture_new(void)
{
    if (access(BIN_DIR "postgres", X_OK) != 0) {
        return NULL;
    }
    struct pgfixture *fx = cm_calloc(1, sizeof(*fx));
    snprintf(fx->dir, sizeof(fx->dir), "/tmp/pgfixture-XXXXXX");
    if (mkdtemp(fx->dir) == NULL) {
        die("mkdtemp", strerror(errno));
    }
    snprintf(fx->data, sizeof(fx->data), "%s/data", fx->dir);
    struct passwd *pw = getpwnam("postgres");
    if (geteuid() == 0 && (pw == NULL || chown(fx->dir, pw->pw_uid, pw->pw_gid) != 0)) {
        die("user postgres", "cannot give it the directory");
    }
    /* Programs under test run as other users and only need to reach the socket. */
    if (chmod(fx->dir, 0755) != 0) {
        die("chmod", strerror(errno));
    }
    init_cluster(fx);
    pgfixture_start(fx);
    return fx;
}

void pgfixture_start(struct pgfixture *fx)
{
    char *argv[] = {arg(BIN_DIR "postgres"),
                    arg("-D"),
                    fx->data,
                    arg("-c"),
                    arg("listen_addresses="),
                    arg("-k"),
                    fx->dir,
                    arg("-F"),
                    arg("-c"),
                    arg("shared_buffers=16MB"),
                    NULL};
    fx->server = spawn(fx, argv);
    char info[256];
    snprintf(info, sizeof(info), "%s", pgfixture_conninfo(fx, "postgres", "postgres"));
    for (int i = 0; i < 600; i++) {
        if (PQping(info) == PQPING_OK) {
            return;
        }
        usleep(50000);
    }
    die("server does not start, see", fx->dir);
}

void pgfixture_stop(struct pgfixture *fx)
{
    if (fx->server > 0) {
        kill(fx->server, SIGINT);
        waitpid(fx->server, NULL, 0);
        fx->server = 0;
    }
}

/* The children of the server; each backend leads a process group of its own, so a
 * signal to the server's group would miss them. */
static void signal_all(const struct pgfixture *fx, int signo)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)fx->server,
             (int)fx->server);
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        die(path, strerror(errno));
    }
    int pid;
    while (fscanf(f, "%d", &pid) == 1) {
        kill(pid, signo);
    }
    fclose(f);
    kill(fx->server, signo);
}

void pgfixture_freeze(struct pgfixture *fx)
{
    signal_all(fx, SIGSTOP);
}

void pgfixture_unfreeze(struct pgfixture *fx)
{
    signal_all(fx, SIGCONT);
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void pgfixture_free(struct pgfixture **fxp)
{
    struct pgfixture *fx = *fxp;
    if (fx == NULL) {
        return;
    }
    *fxp = NULL;
    pgfixture_stop(fx);
    nftw(fx->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(fx->value);
    free(fx);
}

const char *pgfixture_dir(const struct pgfixture *fx)
{
    return fx->dir;
}

const char *pgfixture_conninfo(struct pgfixture *fx, const char *db, const char *user)
{
    snprintf(fx->conninfo, sizeof(fx->conninfo), "host=%s dbname=%s user=%s", fx->dir,
             db, user);
    return fx->conninfo;
}

const char *pgfixture_sql(struct pgfixture *fx, const char *db, const char *sql)
{
    PGconn *link = PQconnectdb(pgfixture_conninfo(fx, db, "postgres"));
    if (PQstatus(link) != CONNECTION_OK) {
        die("connect", PQerrorMessage(link));
    }
    PQclear(PQexec(link, "set client_min_messages = error"));
    PGresult *res = PQexec(link, sql);
    ExecStatusType status = PQresultStatus(res);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        die(sql, PQerrorMessage(link));
    }
    free(fx->value);
    bool any = PQntuples(res) > 0 && PQnfields(res) > 0;
    fx->value = cm_strdup(any ? PQgetvalue(res, 0, 0) : "");
    PQclear(res);
    PQfinish(link);
    return fx->value;
}

void pgfixture_sql_file(struct pgfixture *fx, const char *db, const char *path)
{
    char *text;
    size_t len;
    struct cm_err err = {0};
    if (cm_file_read(path, FILE_MAX, &text, &len, &err) != 1) {
        die(path, err.text);
    }
    pgfixture_sql(fx, db, text);
    free(text);
}

struct pgfixture *pgfixture_chatmail(const char *schema_dir, ...)
{
    struct pgfixture *fx = pgfixture_new();
    if (fx == NULL) {
        return NULL;
    }
    pgfixture_sql(fx, "postgres", "create database chatmail");
    va_list ap;
    va_start(ap, schema_dir);
    for (const char *name; (name = va_arg(ap, const char *)) != NULL;) {
        char *path = cm_asprintf("%s/%s.sql", schema_dir, name);
        pgfixture_sql_file(fx, "chatmail", path);
        free(path);
    }
    va_end(ap);
    return fx;
}
