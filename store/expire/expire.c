#include "expire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "accounts.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "crew.h"
#include "guard.h"
#include "removal.h"
#include "tally.h"
#include "textfile.h"
#include "tour.h"
#include "tree.h"
#include "trim.h"

#define DAY INT64_C(86400)
#define MIB INT64_C(1048576)

/* What all workers read. */
struct pass {
    const struct cm_conf *conf;
    const struct expire_options *options;
    struct expire_limits limits;
    int base, aside;
};

struct worker {
    const struct pass *pass;
    struct tally counts;
};

struct visit {
    struct worker *worker;
    int64_t quota; /* sum of S= of what stays in the INBOX */
    bool changed;
};

struct expire_limits expire_limits(const struct cm_conf *conf, int64_t now)
{
    return (struct expire_limits){
        .mails_before = now - strtoll(conf->delete_mails_after, NULL, 10) * DAY,
        .large_before = now - strtoll(conf->delete_large_after, NULL, 10) * DAY,
        .quota_target = conf->max_mailbox_size_mib * EXPIRE_PERCENT / 100 * MIB,
    };
}

/* Large unread ones stay in new/. */
bool expire_due(const struct walk_file *file, const struct expire_limits *limits)
{
    if (file->kind == WALK_EXTRA) {
        return false;
    }
    return file->mtime < limits->mails_before ||
           (file->kind == WALK_CUR && file->size > EXPIRE_LARGE &&
            file->mtime < limits->large_before);
}

static void complain(struct worker *worker, const struct cm_err *err)
{
    worker->counts.troubles++;
    cm_log_err(CM_LOG_WARNING, "mailbox_trouble", err);
}

/* One mailbox */

static void drop(struct visit *visit, const struct walk_file *file)
{
    struct worker *worker = visit->worker;
    const struct pass *pass = worker->pass;
    if (pass->options->verbose) {
        fprintf(stderr, "%s %s/%s/%s\n",
                pass->options->remove ? "removing" : "would remove",
                pass->conf->mailboxes_dir, file->dir, file->name);
    }
    if (pass->options->remove && unlinkat(file->at, file->name, 0) != 0) {
        if (errno != ENOENT) {
            struct cm_err err;
            (void)cm_err_set(&err, CM_ERR_WORLD, "cannot remove from %s: %s", file->dir,
                             strerror(errno));
            complain(worker, &err);
        }
        return;
    }
    visit->changed = true;
    worker->counts.files_removed++;
    worker->counts.bytes_removed += file->size;
}

static void on_file(const struct walk_file *file, void *ctx)
{
    struct visit *visit = ctx;
    int64_t time, size;
    visit->worker->counts.files++;
    if (expire_due(file, &visit->worker->pass->limits)) {
        drop(visit, file);
    } else if (file->inbox && (file->kind == WALK_CUR || file->kind == WALK_NEW) &&
               trim_parse(file->name, &time, &size)) {
        visit->quota += size;
    }
}

static void trim(struct worker *worker, const char *mailbox)
{
    const struct pass *pass = worker->pass;
    struct trim_result result;
    struct cm_err err;
    worker->counts.over_quota++;
    if (!pass->options->remove) {
        return;
    }
    if (trim_inbox(pass->base, mailbox, pass->limits.quota_target, pass->options->now,
                   &result, &err) != 0) {
        complain(worker, &err);
    }
    if (result.removed > 0) {
        fprintf(stderr, "quota-expire: removed %lld message(s) from %s\n",
                (long long)result.removed, mailbox);
    }
    worker->counts.trimmed += result.removed;
    worker->counts.files_removed += result.removed;
    worker->counts.bytes_removed += result.bytes;
}

/* After the messages: Dovecot then counts again what is left. */
static void forget_quota(struct worker *worker, const char *mailbox)
{
    char path[300];
    struct cm_err err;
    snprintf(path, sizeof(path), "%s/maildirsize", mailbox);
    if (unlinkat(worker->pass->base, path, 0) != 0 && errno != ENOENT) {
        (void)cm_err_set(&err, CM_ERR_WORLD, "%s: %s", path, strerror(errno));
        complain(worker, &err);
    }
}

/* No account: what is empty goes, the rest may be somebody's. */
static void drop_stray(struct worker *worker, const char *mailbox)
{
    const struct pass *pass = worker->pass;
    if (pass->options->remove &&
        (unlinkat(pass->base, mailbox, AT_REMOVEDIR) == 0 || errno == ENOENT)) {
        worker->counts.mailboxes_removed++;
        if (pass->options->verbose) {
            fprintf(stderr, "removing %s/%s\n", pass->conf->mailboxes_dir, mailbox);
        }
    } else if (pass->options->remove || pass->options->verbose) {
        fprintf(stderr, "%s doesn't have last_login but isn't empty\n", mailbox);
    }
}

static void on_job(const struct crew_job *job, void *ctx)
{
    struct worker *worker = ctx;
    const struct pass *pass = worker->pass;
    struct visit visit = {.worker = worker};
    struct cm_err err;
    if (job->state == ACCOUNT_ASIDE) {
        if (tree_remove(pass->aside, job->mailbox, &worker->counts.files_removed,
                        &err) != 0) {
            complain(worker, &err);
        }
        return;
    }
    worker->counts.mailboxes++;
    if (walk_mailbox(pass->base, job->mailbox, on_file, &visit, &err) != 0) {
        complain(worker, &err);
    }
    if (visit.quota > pass->limits.quota_target) {
        trim(worker, job->mailbox);
    }
    if (visit.changed && pass->options->remove) {
        forget_quota(worker, job->mailbox);
    }
    if (job->state == ACCOUNT_NONE) {
        drop_stray(worker, job->mailbox);
    }
}

static int visit_all(const struct pass *pass, struct accounts *accounts,
                     struct tally *counts)
{
    unsigned n = crew_size();
    struct worker workers[CREW_MAX] = {0};
    void *contexts[CREW_MAX];
    struct cm_err err;
    int status = EXPIRE_OK;
    for (unsigned i = 0; i < n; i++) {
        workers[i].pass = pass;
        contexts[i] = &workers[i];
    }
    struct crew *crew = crew_new(n, on_job, contexts);
    if (pass->aside >= 0 && tour_aside(pass->aside, crew, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "tour_failed", &err);
        status = EXPIRE_TROUBLE;
    }
    if (tour_mailboxes(pass->base, accounts, pass->options->maxnum, crew, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "tour_failed", &err);
        status = err.kind == CM_ERR_RETRY ? EXPIRE_AWAY : EXPIRE_TROUBLE;
    }
    crew_free(&crew);
    for (unsigned i = 0; i < n; i++) {
        tally_add(counts, &workers[i].counts);
    }
    return status == EXPIRE_OK && counts->troubles > 0 ? EXPIRE_TROUBLE : status;
}

/* Accounts */

static int failed(const char *event, const struct cm_err *err)
{
    cm_log_err(CM_LOG_ERROR, event, err);
    return err->kind == CM_ERR_RETRY    ? EXPIRE_AWAY
           : err->kind == CM_ERR_REFUSE ? EXPIRE_REFUSED
                                        : EXPIRE_TROUBLE;
}

static int remove_accounts(const struct pass *pass, struct removal *removal,
                           const struct guard_facts *facts, struct tally *counts)
{
    const struct expire_options *options = pass->options;
    struct cm_err err;
    int status = EXPIRE_OK;
    if (options->remove && removal_resume(removal, &err) != 0) {
        status = failed("removal_not_finished", &err);
    }
    if (status != EXPIRE_AWAY) {
        if (!options->force &&
            guard_accounts(facts, options->max_share, options->now, &err) != 0) {
            status = failed("accounts_kept", &err);
        } else if ((options->remove ? removal_run : removal_show)(removal, &err) != 0) {
            status = failed("removal_not_finished", &err);
        }
    }
    counts->mailboxes_removed += removal->removed;
    counts->mailboxes += removal->removed;
    return status;
}

/* Those who are in use without a login are no longer among the inactive of facts. */
static int spare_used(const struct pass *pass, struct removal *removal,
                      struct guard_facts *facts, struct cm_err *err)
{
    int rc = removal_look(removal, pass->options->remove, err);
    facts->inactive -= removal->used;
    if (removal->used > 0) {
        fprintf(stderr,
                "%lld account(s) without a login for %lld days kept: a client has "
                "fetched mail since\n",
                (long long)removal->used,
                (long long)pass->conf->delete_inactive_users_after);
    }
    return rc;
}

/* Clock and accounts first: when the clock is wrong nothing at all may go. *go_on_r
 * says whether mail is to be looked at. */
static int with_accounts(const struct pass *pass, struct accounts *accounts,
                         struct tally *counts, bool *go_on_r)
{
    const struct expire_options *options = pass->options;
    struct removal removal = {.accounts = accounts,
                              .base = pass->base,
                              .before = options->now -
                                        pass->conf->delete_inactive_users_after * DAY,
                              .now = options->now,
                              .verbose = options->verbose,
                              .where = pass->conf->mailboxes_dir,
                              .bell = options->bell,
                              .bell_dir = options->bell_dir};
    struct guard_facts facts;
    struct cm_err err;
    *go_on_r = true;
    if (accounts_facts(accounts, removal.before, options->now, &facts, &err) != 0) {
        return failed("accounts_kept", &err);
    }
    if (!options->force && guard_clock(&facts, options->now, &err) != 0) {
        *go_on_r = false;
        return failed("nothing_removed", &err);
    }
    if (spare_used(pass, &removal, &facts, &err) != 0) {
        return failed("accounts_kept", &err);
    }
    return remove_accounts(pass, &removal, &facts, counts);
}

#define TEXT_FILE     "expire.prom"
#define TEXT_FILE_MAX 65536

static int publish(const struct pass *pass, const struct tally *counts, int status,
                   int64_t took_ms)
{
    const struct expire_options *options = pass->options;
    struct cm_err err;
    struct cm_buf text;
    if (options->textfile == NULL) {
        return 0;
    }
    cm_buf_init(&text, TEXT_FILE_MAX);
    tally_prometheus(&text, counts, status, cm_now_wall_ms() / 1000, took_ms);
    int rc = textfile_write(options->textfile, TEXT_FILE, text.data, text.len, &err);
    cm_buf_clear(&text);
    return rc == 0 ? 0 : failed("figures_not_written", &err);
}

static int worse(int a, int b)
{
    return a != EXPIRE_OK ? a : b;
}

static int all_of_it(struct pass *pass)
{
    const struct expire_options *options = pass->options;
    struct tally counts = {0};
    struct cm_err err;
    int64_t start = cm_now_mono_ms();
    int status = EXPIRE_OK;
    bool go_on = true;
    struct accounts *accounts = NULL;
    if (options->conninfo != NULL) {
        accounts = accounts_open(options->conninfo, &err);
        status = accounts != NULL ? with_accounts(pass, accounts, &counts, &go_on)
                                  : failed("accounts_kept", &err);
    }
    if (go_on) {
        status = worse(status, visit_all(pass, accounts, &counts));
        tally_text(stdout, &counts, options->remove, cm_now_mono_ms() - start);
    }
    accounts_close(&accounts);
    return worse(status, publish(pass, &counts, status, cm_now_mono_ms() - start));
}

int expire_run(const struct cm_conf *conf, const struct expire_options *options)
{
    struct pass pass = {.conf = conf,
                        .options = options,
                        .limits = expire_limits(conf, options->now),
                        .aside = -1};
    struct cm_err err;
    int rc = tour_open(conf->mailboxes_dir, &pass.base, &err);
    if (rc <= 0) {
        return rc == 0 ? EXPIRE_OK : failed("tour_failed", &err);
    }
    if (options->remove && flock(pass.base, LOCK_EX | LOCK_NB) != 0) {
        fprintf(stderr, "chatmail-expire: another run is under way\n");
        close(pass.base);
        return EXPIRE_TROUBLE;
    }
    if (options->remove && (pass.aside = removal_aside(pass.base, &err)) < 0) {
        close(pass.base);
        return failed("tour_failed", &err);
    }
    int status = all_of_it(&pass);
    if (pass.aside >= 0) {
        close(pass.aside);
    }
    close(pass.base);
    return status;
}
