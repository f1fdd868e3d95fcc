#include "database.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/run.h"

#define DUMP_MS   (30 * 60 * 1000)
#define ROLES_MAX 64
#define NEW_NAME  "chatmail_restored"
#define WORDS_MAX 16

/* Our programs' roles; the rights are in the dump, the roles are not. */
static const char roles_sql[] =
    "select rolname from pg_roles where rolname like 'chatmail\\_%' order by 1";

/* program and its words, as user postgres, or against the conninfo of a test. */
static int run_pg(const struct place *p, const char *const *words, struct cm_run *run,
                  struct cm_run_result *res, struct cm_err *err)
{
    const char *argv[WORDS_MAX + 4] = {"runuser", "-u", "postgres", "--"};
    size_t at = p->conninfo != NULL ? 0 : 4, n = 0;

    while (words[n] != NULL) {
        cm_assert(n < WORDS_MAX);
        argv[at++] = words[n++];
    }
    argv[at] = NULL;
    run->argv = argv;
    int rc = cm_run(run, res, err);
    if (rc == 0 && res->exit_code != 0) {
        char *at_nl = strchr(res->err.data, '\n');
        rc = cm_err_set(err, CM_ERR_WORLD, "%s: %.*s", words[0],
                        (int)(at_nl != NULL ? at_nl - res->err.data : 200),
                        res->err.data);
    }
    return rc;
}

/* "dbname=NAME" beside what a test says. Caller frees. */
static char *conninfo_of(const struct place *p, const char *name)
{
    return p->conninfo != NULL ? cm_asprintf("%s dbname=%s", p->conninfo, name)
                               : cm_asprintf("dbname=%s", name);
}

static int sql(const struct place *p, const char *name, const char *text, char **out,
               struct cm_err *err)
{
    char *db = conninfo_of(p, name);
    const char *words[] = {"psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", db,
                           "-f",   "-",     NULL};
    struct cm_run run = {.input = text, .timeout_ms = DUMP_MS};
    struct cm_run_result res;
    int rc = run_pg(p, words, &run, &res, err);

    if (rc == 0 && out != NULL) {
        *out = cm_strdup(res.out.data);
    }
    cm_run_result_clear(&res);
    free(db);
    return rc;
}

/* ---- out ---- */

struct sink {
    int fd;
    int error;
};

static void on_dump(int fd, const char *data, size_t n, void *ctx)
{
    struct sink *s = ctx;

    while (fd == STDOUT_FILENO && n > 0 && s->error == 0) {
        ssize_t done = write(s->fd, data, n);
        if (done < 0 && errno != EINTR) {
            s->error = errno;
        } else if (done > 0) {
            data += done;
            n -= (size_t)done;
        }
    }
}

/* pg_dump does not say beforehand how much it is, and an archive must: so it goes into
 * a file without a name. */
static int dump(const struct place *p, int fd, struct cm_err *err)
{
    char *db = conninfo_of(p, "chatmail");
    const char *words[] = {"pg_dump", "-Fc", "--lock-wait-timeout=60000",
                           "-d",      db,    NULL};
    struct sink sink = {.fd = fd};
    struct cm_run run = {
        .timeout_ms = DUMP_MS, .max_output = 4096, .on_output = on_dump, .ctx = &sink};
    struct cm_run_result res;
    int rc = run_pg(p, words, &run, &res, err);

    cm_run_result_clear(&res);
    free(db);
    if (rc == 0 && (sink.error != 0 || lseek(fd, 0, SEEK_SET) != 0)) {
        rc = cm_err_set(err, CM_ERR_WORLD, "no room for the database's copy: %s",
                        strerror(sink.error != 0 ? sink.error : errno));
    }
    return rc;
}

int database_send(struct box *b, const struct place *p, struct cm_err *err)
{
    char *dir = cm_asprintf("%s/var/lib/portico", p->root), *roles = NULL;
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int rc =
        fd >= 0 ? 0 : cm_err_set(err, CM_ERR_WORLD, "%s: %s", dir, strerror(errno));

    free(dir);
    if (rc == 0 && sql(p, "chatmail", roles_sql, &roles, err) == 0 &&
        dump(p, fd, err) == 0) {
        rc = box_text(b, PLACE_ROLES, roles, strlen(roles), err) == 0
                 ? box_file(b, PLACE_DATABASE, fd, err)
                 : -1;
    } else {
        rc = -1;
    }
    free(roles);
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

/* ---- back ---- */

static int make_roles(const struct place *p, const char *roles, struct cm_err *err)
{
    struct cm_buf b;

    cm_buf_init(&b, ROLES_MAX * 256);
    for (const char *at = roles; *at != '\0';) {
        size_t n = strcspn(at, "\n");
        if (strspn(at, "abcdefghijklmnopqrstuvwxyz_") != n || n < 9 || n > 63 ||
            strncmp(at, "chatmail_", 9) != 0) {
            cm_buf_clear(&b);
            return cm_err_set(err, CM_ERR_REFUSE, "\"%.*s\" is no role of ours", (int)n,
                              at);
        }
        cm_buf_fmt(&b,
                   "do $$ begin if not exists (select from pg_roles where rolname = "
                   "'%.*s') then create role %.*s login; end if; end $$;\n",
                   (int)n, at, (int)n, at);
        at += n + (at[n] == '\n');
    }
    int rc = b.overflow ? cm_err_set(err, CM_ERR_REFUSE, "too many roles")
                        : sql(p, "postgres", b.data, NULL, err);
    cm_buf_clear(&b);
    return rc;
}

static int fill(const struct place *p, int fd, struct cm_err *err)
{
    char *db = conninfo_of(p, NEW_NAME);
    const char *words[] = {
        "pg_restore", "--exit-on-error", "--no-owner", "--single-transaction", "-d", db,
        NULL};
    off_t size = lseek(fd, 0, SEEK_END);
    void *map =
        size > 0 ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    struct cm_run run = {
        .input = map, .input_len = (size_t)size, .timeout_ms = DUMP_MS};
    struct cm_run_result res;
    int rc;

    if (map == MAP_FAILED) {
        free(db);
        return cm_err_set(err, CM_ERR_WORLD, "the database's copy cannot be read");
    }
    rc = run_pg(p, words, &run, &res, err);
    cm_run_result_clear(&res);
    munmap(map, (size_t)size);
    free(db);
    return rc;
}

/* $1: seconds that have passed. A login is a day; null until the first. Signatures of
 * the desired state are a line of base64 before the document. */
static const char later_sql[] =
    "update account set last_login = least((now() at time zone 'UTC')::date,"
    " coalesce(last_login, (created_at at time zone 'UTC')::date) + %lld);\n"
    "update push_token set seen = least(now(), seen + interval '%lld s');\n"
    "select setval('desired_epoch', (select last_value from desired_epoch) + %d);\n"
    "insert into desired_state (epoch, envelope) select nextval('desired_epoch'),"
    " 'restored' || chr(10) || split_part(envelope, chr(10), 2) from desired_state"
    " order by epoch desc limit 1;\n";

static int make_later(const struct place *p, int64_t made_s, struct cm_err *err)
{
    long long passed = (long long)(cm_now_wall_ms() / 1000 - made_s);
    char *text;

    passed = passed > 0 ? passed : 0;
    text = cm_asprintf(later_sql, passed / 86400, passed, DATABASE_EPOCHS);
    int rc = sql(p, NEW_NAME, text, NULL, err);
    free(text);
    return rc;
}

int database_take(const struct place *p, const char *roles, int fd, int64_t made_s,
                  struct cm_err *err)
{
    if (make_roles(p, roles, err) != 0 ||
        sql(p, "postgres",
            "drop database if exists " NEW_NAME " with (force);\n"
            "create database " NEW_NAME " template template0 encoding 'UTF8'"
            " lc_collate 'C.UTF-8' lc_ctype 'C.UTF-8';\n",
            NULL, err) != 0 ||
        fill(p, fd, err) != 0 || make_later(p, made_s, err) != 0) {
        return -1;
    }
    return sql(p, "postgres",
               "drop database if exists chatmail with (force);\n"
               "alter database " NEW_NAME " rename to chatmail;\n",
               NULL, err);
}
