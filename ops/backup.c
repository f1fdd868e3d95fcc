/* chatops backup: all that a relay needs to live on, in one file on this machine. */
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "answer.h"
#include "archive.h"
#include "cli.h"
#include "cluster.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "say.h"
#include "status.h"

#define SEND_MS   (24 * 60 * 60 * 1000)
#define SAID_MAX  65536
#define SMALL_MAX (1 << 20)

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo)
{
    (void)signo;
    interrupted = 1;
}

static void catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* backup-DOMAIN-2026-11-27-1230.tar beside chatmail.ini. */
static char *file_name(const struct op_cluster *c, int64_t now_s)
{
    time_t t = (time_t)now_s;
    struct tm tm;
    char date[32], *copy = cm_strdup(c->cli->config);

    strftime(date, sizeof(date), "%Y-%m-%d-%H%M", gmtime_r(&t, &tm));
    char *name =
        cm_asprintf("%s/backup-%s-%s.tar", dirname(copy), c->conf.mail_domain, date);
    free(copy);
    return name;
}

/* ---- what lies on this machine ---- */

static int add_file(struct op_archive_out *o, const char *name, const char *path,
                    struct cm_err *err)
{
    char *data;
    size_t len;
    int rc = cm_file_read(path, SMALL_MAX, &data, &len, err);

    if (rc == 1) {
        rc = op_archive_add(o, name, data, len, err);
        cm_wipe(data, len);
        free(data);
    }
    return rc;
}

static int add_laptop(struct op_archive_out *o, const struct op_cluster *c,
                      struct cm_err *err)
{
    char *hosts = cm_asprintf("%s/known_hosts", c->state_dir);
    char *numbers = cm_asprintf("%s/numbers", c->state_dir);
    const char *key = c->conf.store.dns_key;
    int rc = -1;

    if (op_archive_add(o, OP_ARCHIVE_INI, c->ini, c->ini_len, err) == 0 &&
        add_file(o, OP_ARCHIVE_HOSTS, hosts, err) == 0 &&
        add_file(o, OP_ARCHIVE_NUMBER, numbers, err) == 0) {
        rc = key[0] != '\0' ? add_file(o, OP_ARCHIVE_DNSKEY, key, err) : 0;
    }
    free(numbers);
    free(hosts);
    return rc;
}

/* ---- what the store sends ---- */

static void on_output(int fd, const char *data, size_t n, void *ctx)
{
    if (fd == 1) {
        op_archive_feed(ctx, data, n);
    }
}

static bool on_wait(int64_t elapsed_ms, void *ctx)
{
    const struct op_archive_out *o = ctx;
    char what[64];

    snprintf(what, sizeof(what), "store, %.1f MB", (double)o->bytes / 1e6);
    op_wait_tick(elapsed_ms, what);
    return !interrupted && o->failed == 0;
}

static int receive(struct op_archive_out *o, struct op_cluster *c, struct cm_err *err)
{
    struct cm_run_result res;
    char last[400];
    struct op_cmd cmd = {
        .script = "command -v chatmail-backup >/dev/null || { echo 'the store has an "
                  "older package; first: chatops run' >&2; exit 1; }\n"
                  "exec chatmail-backup send $1",
        .args = {c->cli->mail ? "--mail" : ""},
        .timeout_ms = SEND_MS,
        .max_output = SAID_MAX,
        .on_output = on_output,
        .on_wait = on_wait,
        .ctx = o};
    int rc = op_host_exec(&c->nodes[0].host, &cmd, &res, err);

    op_wait_end();
    if (interrupted) {
        rc = cm_err_set(err, CM_ERR_WORLD, "interrupted; nothing was kept");
    } else if (o->failed != 0) {
        *err = o->err;
        rc = -1;
    } else if (rc == 0 && res.exit_code != 0) {
        op_last_line(res.err.data, last, sizeof(last));
        rc = cm_err_set(err, CM_ERR_WORLD, "store: %s", last);
    }
    cm_run_result_clear(&res);
    return rc;
}

/* ---- end ---- */

static void stamp(struct op_cluster *c)
{
    struct cm_err err;
    char *said;

    if (op_host_ask(&c->nodes[0].host, "touch " OP_BACKUP_STAMP, &said, &err) == 0) {
        free(said);
    } else {
        op_warn("the backup is complete, but the store does not know: %s", err.text);
    }
}

static void say_end(const struct op_cluster *c, const char *path,
                    const struct op_archive *a, int64_t ms)
{
    if (c->cli->json) {
        op_answer(json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:s, s:I}", "result",
                            "ok", "domain", a->about.domain, "file", path, "bytes",
                            (json_int_t)a->len, "files", (json_int_t)a->files,
                            "mailboxes", (json_int_t)a->mailboxes, "mail",
                            a->about.mail, "id", a->id, "ms", (json_int_t)ms));
        return;
    }
    op_say(OP_GREEN, "%s: %.1f MB, %llu files, %llu mailboxes%s, read back (%.1f s)",
           path, (double)a->len / 1e6, (unsigned long long)a->files,
           (unsigned long long)a->mailboxes,
           a->about.mail ? " with their mail" : " without mail (--mail takes it)",
           (double)ms / 1000);
    op_say(OP_YELLOW, "it holds every key of the relay and is not encrypted: keep it "
                      "as you would a key");
}

int op_backup(const struct op_cli *cli, struct cm_err *err)
{
    struct op_archive_about about = {.made_s = cm_now_wall_ms() / 1000,
                                     .mail = cli->mail};
    int64_t from = cm_now_mono_ms();
    struct op_archive_out out;
    struct op_archive a;
    struct op_cluster c;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    snprintf(about.domain, sizeof(about.domain), "%s", c.conf.mail_domain);
    snprintf(about.version, sizeof(about.version), "%s", PORTICO_VERSION);
    char *path = cli->to != NULL ? cm_strdup(cli->to) : file_name(&c, about.made_s);
    catch_interrupts();
    int rc = op_archive_begin(&out, path, &about, err);
    if (rc == 0 && (add_laptop(&out, &c, err) != 0 || receive(&out, &c, err) != 0 ||
                    op_archive_keep(&out, &a, err) != 0)) {
        rc = -1;
    }
    op_archive_drop(&out);
    if (rc == 0) {
        stamp(&c);
        say_end(&c, path, &a, cm_now_mono_ms() - from);
        op_archive_close(&a);
    } else if (interrupted) {
        op_complain("%s", err->text);
        rc = OP_EXIT_INT;
    }
    free(path);
    op_cluster_clear(&c);
    return rc;
}
