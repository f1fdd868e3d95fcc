/* The tour behind the report; the arithmetic and the texts are in report.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "expire.h"
#include "report.h"
#include "textfile.h"
#include "tour.h"

#define TEXT_FILE "fsreport.prom"
#define OLD_FILE  "metrics"

struct clerk {
    const struct report_options *options;
    int base;
    struct report report;
    bool matching; /* the mailbox at hand */
};

static void on_file(const struct walk_file *file, void *ctx)
{
    struct clerk *clerk = ctx;
    report_file(&clerk->report, file, clerk->options, clerk->matching);
}

static void on_job(const struct crew_job *job, void *ctx)
{
    struct clerk *clerk = ctx;
    struct cm_err err;
    clerk->matching = report_matches(job, clerk->options);
    if (walk_mailbox(clerk->base, job->mailbox, on_file, clerk, &err) != 0) {
        cm_log_err(CM_LOG_WARNING, "mailbox_trouble", &err);
    }
}

static void add(struct report *sum, const struct report *part)
{
    sum->messages += part->messages;
    sum->extra += part->extra;
    for (int i = 0; i < REPORT_SIZES; i++) {
        sum->bytes[i] += part->bytes[i];
        sum->count[i] += part->count[i];
    }
    for (int i = 0; i < REPORT_AGES; i++) {
        sum->old_bytes[i] += part->old_bytes[i];
        sum->old_count[i] += part->old_count[i];
    }
}

static int visit_all(int base, struct accounts *accounts,
                     const struct report_options *options, struct report *report)
{
    unsigned n = crew_size();
    struct clerk clerks[CREW_MAX];
    void *contexts[CREW_MAX];
    struct cm_err err;
    for (unsigned i = 0; i < n; i++) {
        clerks[i] = (struct clerk){.options = options, .base = base};
        contexts[i] = &clerks[i];
    }
    struct crew *crew = crew_new(n, on_job, contexts);
    int rc = tour_mailboxes(base, accounts, options->maxnum, crew, &err);
    crew_free(&crew);
    for (unsigned i = 0; i < n; i++) {
        add(report, &clerks[i].report);
    }
    if (rc != 0) {
        cm_log_err(CM_LOG_ERROR, "report_incomplete", &err);
        return EXPIRE_TROUBLE;
    }
    return EXPIRE_OK;
}

typedef void print_fn(FILE *out, const struct report *report);

/* path: as for textfile_write(). */
static int write_file(const char *path, const char *name, print_fn *print,
                      const struct report *report)
{
    char *text = NULL;
    size_t len;
    struct cm_err err;
    FILE *out = open_memstream(&text, &len);
    cm_assert(out != NULL);
    print(out, report);
    int rc = fclose(out) == 0 ? textfile_write(path, name, text, len, &err)
                              : cm_err_set(&err, CM_ERR_WORLD, "no memory");
    free(text);
    if (rc != 0) {
        cm_log_err(CM_LOG_ERROR, "report_not_written", &err);
    }
    return rc;
}

static int publish(const struct report *report, const struct report_options *options)
{
    int rc = 0;
    if (options->textfile != NULL &&
        write_file(options->textfile, TEXT_FILE, report_prometheus, report) != 0) {
        rc = -1;
    }
    if (options->old_format != NULL && report->logins_known &&
        write_file(options->old_format, OLD_FILE, report_old_format, report) != 0) {
        rc = -1;
    }
    if (options->plain || (options->textfile == NULL && options->old_format == NULL)) {
        report_text(stdout, report, options);
    }
    return rc;
}

int report_run(const struct cm_conf *conf, const struct report_options *options)
{
    struct report report = {0};
    struct accounts *accounts = NULL;
    struct cm_err err;
    int base = -1, status = EXPIRE_OK;
    if (options->conninfo != NULL &&
        ((accounts = accounts_open(options->conninfo, &err)) == NULL ||
         accounts_activity(accounts, options->now, &report.logins, &err) != 0)) {
        cm_log_err(CM_LOG_ERROR, "logins_unknown", &err);
        status = err.kind == CM_ERR_RETRY ? EXPIRE_AWAY : EXPIRE_TROUBLE;
    }
    report.logins_known = accounts != NULL && status == EXPIRE_OK;
    int rc = tour_open(conf->mailboxes_dir, &base, &err);
    if (rc > 0) {
        int toured = visit_all(base, accounts, options, &report);
        status = status == EXPIRE_OK ? toured : status;
        close(base);
    } else if (rc < 0) {
        cm_log_err(CM_LOG_ERROR, "tour_failed", &err);
        status = EXPIRE_TROUBLE;
    }
    accounts_close(&accounts);
    if (publish(&report, options) != 0 && status == EXPIRE_OK) {
        status = EXPIRE_TROUBLE;
    }
    return status;
}
