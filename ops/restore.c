/* chatops restore: a store as it was, from a file of chatops backup. The plan is that
 * of `run`, with the backup's keys, database and mailboxes put in where they belong. */
#include "restore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "cli.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "ini_edit.h"
#include "say.h"

#define INI_MAX (1 << 20)

/* ---- chatmail.ini: the one that is here, else the backup's ---- */

static char *text_of(const struct op_archive_part *part)
{
    return cm_strndup(part->data, part->len);
}

/* ssh_r: 256 bytes, where it says the store is. */
static int domain_fits(const char *name, const char *text,
                       const struct op_archive_about *about, char *ssh_r,
                       struct cm_err *err)
{
    struct cm_conf conf;

    if (cm_conf_parse(name, text, strlen(text), &conf, err) != 0) {
        return -1;
    }
    int rc = strcmp(conf.mail_domain, about->domain) == 0
                 ? 0
                 : cm_err_set(err, CM_ERR_WORLD,
                              "the backup is of %s, and %s is for %s: restore it in "
                              "another directory, or with --config",
                              about->domain, name, conf.mail_domain);
    snprintf(ssh_r, 256, "%s", conf.store.ssh);
    cm_conf_clear(&conf);
    return rc;
}

/* *found_r: was there one here? */
static int choose_ini(const struct op_cli *cli, struct op_restore *r, char **text_r,
                      bool *found_r, struct cm_err *err)
{
    const struct op_archive *a = &r->archive;
    char *text = NULL, *with_ssh;
    int rc = cm_file_read(cli->config, INI_MAX, &text, NULL, err);

    if (rc < 0) {
        return -1;
    }
    *found_r = rc == 1;
    if (rc == 0) {
        text = text_of(&a->ini);
    }
    rc = domain_fits(rc == 1 ? cli->config : OP_ARCHIVE_INI, text, &a->about, r->former,
                     err);
    if (cli->ssh == NULL || strcmp(r->former, cli->ssh) == 0) {
        r->former[0] = '\0';
    }
    if (rc == 0 && cli->ssh != NULL) {
        rc = op_ini_with_value(text, "store", "ssh", cli->ssh, &with_ssh, err);
        if (rc == 0) {
            free(text);
            text = with_ssh;
        }
    }
    if (rc != 0) {
        free(text);
        return -1;
    }
    *text_r = text;
    return 0;
}

/* Which host keys are right, and which numbers were given, is known before the first
 * connection. What is here already is newer. */
static int put_beside(const struct op_cli *cli, const struct op_archive *a,
                      struct cm_err *err)
{
    const struct {
        const char *name;
        const struct op_archive_part *part;
    } files[] = {{"known_hosts", &a->hosts}, {"numbers", &a->numbers}};
    char *dir = op_state_dir(cli->config);
    int rc = cm_file_mkdirs(dir, 0700, err);

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && rc == 0; i++) {
        char *path = cm_asprintf("%s/%s", dir, files[i].name);
        if (files[i].part->data != NULL && access(path, F_OK) != 0) {
            rc = cm_file_replace(path, files[i].part->data, files[i].part->len, 0600,
                                 err);
        }
        free(path);
    }
    free(dir);
    return rc;
}

static int put_dns_key(const struct op_cluster *c, const struct op_archive *a,
                       struct cm_err *err)
{
    const char *path = c->conf.store.dns_key;

    if (path[0] == '\0' || a->dns_key.data == NULL || access(path, F_OK) == 0) {
        return 0;
    }
    return cm_file_replace(path, a->dns_key.data, a->dns_key.len, 0600, err);
}

/* ---- the verb ---- */

static void date_of(int64_t t, char out[40])
{
    time_t when = (time_t)t;
    struct tm tm;

    strftime(out, 40, "%Y-%m-%d %H:%M UTC", gmtime_r(&when, &tm));
}

static void say_archive(const struct op_cli *cli, const struct op_archive *a)
{
    char date[40];

    date_of(a->about.made_s, date);
    op_say(OP_PLAIN, "%s: %s of %s, %llu files, all as their list says; %s",
           cli->args[0], a->about.domain, date, (unsigned long long)a->files,
           a->about.mail ? "with mail" : "without mail");
}

static void say_end(const struct op_cluster *c, const struct op_summary *sum,
                    int64_t ms)
{
    const struct op_cli *cli = c->cli;
    const struct op_archive *a = &c->restore->archive;
    char date[40];

    date_of(a->about.made_s, date);
    if (cli->json) {
        op_answer(json_pack("{s:s, s:b, s:s, s:I, s:b, s:s, s:I, s:I, s:I}", "result",
                            "ok", "dry_run", cli->dry_run, "domain", a->about.domain,
                            "made", (json_int_t)a->about.made_s, "mail", a->about.mail,
                            "id", a->id, "changed", (json_int_t)sum->changed, "ok",
                            (json_int_t)sum->ok, "ms", (json_int_t)ms));
    } else if (cli->dry_run) {
        op_say(OP_YELLOW, "%zu steps would change something; nothing was touched",
               sum->changed);
    } else {
        op_say(OP_GREEN, "%s is as it was on %s (%zu steps changed, %.1f s)",
               a->about.domain, date, sum->changed, (double)ms / 1000);
        op_say(OP_PLAIN, "next: chatops status   (and chatops backup, soon)");
    }
}

static int run_plan(struct op_cluster *c, struct cm_err *err)
{
    const struct op_cli *cli = c->cli;
    int64_t from = cm_now_mono_ms();
    struct op_summary sum;
    struct op_plan plan;
    int rc;

    op_plan_init(&plan, c->state_dir, cli->json);
    op_add_restore_survey(&plan, c);
    op_run_all(&plan, c);
    op_plan_catch(&plan);
    op_run_confirm(&plan, c);
    rc = cli->dry_run ? op_plan_show(&plan, &sum, err) : op_plan_run(&plan, &sum, err);
    if (rc == 0) {
        say_end(c, &sum, cm_now_mono_ms() - from);
    } else if (sum.stopped) {
        op_complain("%s", err->text);
        rc = OP_EXIT_INT;
    }
    op_plan_clear(&plan);
    return rc;
}

/* The cluster is read from a file beside chatmail.ini, which is replaced only once the
 * store has been looked at. */
static int with_ini(const struct op_cli *cli, struct op_restore *r, const char *text,
                    struct cm_err *err)
{
    char *draft = cm_asprintf("%s.restore", cli->config);
    struct op_cli own = *cli;
    struct op_cluster c;
    int rc = cm_file_replace(draft, text, strlen(text), 0644, err);

    own.config = draft;
    if (rc == 0 && op_cluster_load(&own, &c, err) == 0) {
        c.restore = r;
        rc = put_dns_key(&c, &r->archive, err) == 0 && op_run_possible(&c, err) == 0
                 ? run_plan(&c, err)
                 : -1;
        op_cluster_clear(&c);
    } else {
        rc = -1;
    }
    unlink(draft);
    free(draft);
    return rc;
}

int op_restore(const struct op_cli *cli, struct cm_err *err)
{
    struct op_restore r = {.config = cli->config, .overwrite = cli->overwrite};
    char *text;
    bool found;

    if (op_archive_open(cli->args[0], &r.archive, err) != 0) {
        return -1;
    }
    say_archive(cli, &r.archive);
    int rc = choose_ini(cli, &r, &text, &found, err);
    if (rc == 0) {
        rc = found ? 0 : put_beside(cli, &r.archive, err);
        if (rc == 0) {
            rc = with_ini(cli, &r, text, err);
        }
        free(text);
    }
    op_defects_clear(&r.defects);
    op_archive_close(&r.archive);
    return rc;
}
