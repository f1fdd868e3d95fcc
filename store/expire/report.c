#include "report.h"

#include <time.h>

#define DAY INT64_C(86400)
#define KIB INT64_C(1024)

const int64_t report_sizes[REPORT_SIZES] = {
    0, 100 * KIB, 512 * KIB, 1024 * KIB, 2048 * KIB, 5120 * KIB, 10240 * KIB};
const int64_t report_ages[REPORT_AGES] = {1, 5, 10, 20, 40};

bool report_matches(const struct crew_job *job, const struct report_options *options)
{
    return options->min_login_age == 0 ||
           (job->state == ACCOUNT_FOUND &&
            job->seen <= options->now - options->min_login_age * DAY);
}

void report_file(struct report *report, const struct walk_file *file,
                 const struct report_options *options, bool matching)
{
    if (file->kind == WALK_EXTRA) {
        report->extra += file->size;
        return;
    }
    report->messages += file->size;
    if (!matching || (options->mdir != WALK_EXTRA && options->mdir != file->kind)) {
        return;
    }
    for (int i = 0; i < REPORT_SIZES && file->size >= report_sizes[i]; i++) {
        report->bytes[i] += file->size;
        report->count[i]++;
    }
    int64_t age = options->now - file->mtime;
    for (int i = 0; i < REPORT_AGES && age >= report_ages[i] * DAY; i++) {
        report->old_bytes[i] += file->size;
        report->old_count[i]++;
    }
}

/* Text: line for line as upstream's chatmail-fsreport prints it, so that what reads
 * that reads this. Ours beyond that: messages by age, and accounts as plain numbers,
 * for upstream rounds eleven of them to "0.01K". */

void report_human(int64_t n, char out[32])
{
    if (n < 10000) {
        snprintf(out, 32, "%5.2fK", (double)n / 1000);
    } else if (n < 1000000) {
        snprintf(out, 32, "%5.0fK", (double)n / 1000);
    } else if (n < 1000000000) {
        snprintf(out, 32, "%5lldM", (long long)(n / 1000000));
    } else {
        snprintf(out, 32, "%5.2fG", (double)n / 1e9);
    }
}

static double percent(int64_t part, int64_t all)
{
    return all > 0 ? (double)part * 100 / (double)all : 0;
}

static void bucket_line(FILE *out, enum walk_kind mdir, const char *what, int64_t n,
                        int64_t all)
{
    static const char *const mdirs[] = {"", "[cur] ", "[new] ", "[tmp] "};
    char human[32];
    report_human(n, human);
    fprintf(out, "%s%s: %s (%.2f%%)\n", mdirs[mdir], what, human, percent(n, all));
}

static void storage_text(FILE *out, const struct report *report,
                         const struct report_options *options)
{
    int64_t all = report->messages + report->extra;
    char total[32], messages[32], extra[32], what[64];
    report_human(all, total);
    report_human(report->messages, messages);
    report_human(report->extra, extra);
    fprintf(out,
            "\n## Mailbox storage use analysis\nMailbox data total size: %s\n"
            "Messages total size    : %s\nExtra files : %s (%.2f%%)\n\n",
            total, messages, extra, all > 0 ? percent(report->extra, all) : 100.0);
    if (options->min_login_age > 0) {
        fprintf(out, "### Message storage for %lld days old logins\n",
                (long long)options->min_login_age);
    }
    for (int i = 0; i < REPORT_SIZES; i++) {
        char human[32];
        report_human(report_sizes[i], human);
        snprintf(what, sizeof(what), "larger than %s", human);
        bucket_line(out, options->mdir, what, report->bytes[i], report->messages);
    }
    for (int i = 0; i < REPORT_AGES; i++) {
        snprintf(what, sizeof(what), "older than %2lld days",
                 (long long)report_ages[i]);
        bucket_line(out, options->mdir, what, report->old_bytes[i], report->messages);
    }
}

static void logins_text(FILE *out, const struct report *report,
                        const struct report_options *options)
{
    const struct accounts_activity *logins = &report->logins;
    int64_t users = logins->all - logins->ci;
    time_t now = (time_t)options->now;
    struct tm tm;
    char date[32];
    gmtime_r(&now, &tm);
    strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
    fprintf(out, "\n## Login stats, from date reference %s\n", date);
    if (!report->logins_known) {
        fprintf(out, "unknown: PostgreSQL was not asked or is away\n");
        return;
    }
    fprintf(out, "all:     %6lld\nnon-ci:  %6lld\nci:      %6lld\n",
            (long long)logins->all, (long long)users, (long long)logins->ci);
    for (int i = 0; i < ACCOUNTS_DAYS; i++) {
        fprintf(out, "last %3lld days: %6lld (%.2f%%)\n", (long long)accounts_days[i],
                (long long)logins->active[i], percent(logins->active[i], users));
    }
}

void report_text(FILE *out, const struct report *report,
                 const struct report_options *options)
{
    storage_text(out, report, options);
    logins_text(out, report, options);
}

/* Prometheus */

static void gauge(FILE *out, const char *name, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

static void sample(FILE *out, const char *name, const char *label, int64_t key,
                   int64_t value)
{
    fprintf(out, "%s{%s=\"%lld\"} %lld\n", name, label, (long long)key,
            (long long)value);
}

static void kind(FILE *out, const char *name, const char *value_of, int64_t value)
{
    fprintf(out, "%s{kind=\"%s\"} %lld\n", name, value_of, (long long)value);
}

static void buckets(FILE *out, const char *name, const char *help, const char *label,
                    const int64_t *keys, const int64_t *values, int n)
{
    gauge(out, name, help);
    for (int i = 0; i < n; i++) {
        sample(out, name, label, keys[i], values[i]);
    }
}

void report_prometheus(FILE *out, const struct report *report)
{
    const struct accounts_activity *logins = &report->logins;
    gauge(out, "chatmail_storage_bytes", "Bytes on the disk below the mailboxes.");
    kind(out, "chatmail_storage_bytes", "messages", report->messages);
    kind(out, "chatmail_storage_bytes", "extra", report->extra);
    kind(out, "chatmail_storage_bytes", "total", report->messages + report->extra);
    buckets(out, "chatmail_messages_bytes", "Bytes of messages of at least that size.",
            "min_size", report_sizes, report->bytes, REPORT_SIZES);
    buckets(out, "chatmail_messages_count", "Messages of at least that size.",
            "min_size", report_sizes, report->count, REPORT_SIZES);
    buckets(out, "chatmail_messages_age_bytes",
            "Bytes of messages of at least that age.", "min_days", report_ages,
            report->old_bytes, REPORT_AGES);
    buckets(out, "chatmail_messages_age_count", "Messages of at least that age.",
            "min_days", report_ages, report->old_count, REPORT_AGES);
    if (!report->logins_known) {
        return;
    }
    gauge(out, "chatmail_accounts", "Accounts.");
    kind(out, "chatmail_accounts", "all", logins->all);
    kind(out, "chatmail_accounts", "ci", logins->ci);
    kind(out, "chatmail_accounts", "user", logins->all - logins->ci);
    buckets(out, "chatmail_accounts_active",
            "Accounts used in the last days, without ci.", "days", accounts_days,
            logins->active, ACCOUNTS_DAYS);
}

void report_old_format(FILE *out, const struct report *report)
{
    const struct accounts_activity *logins = &report->logins;
    gauge(out, "accounts", "Accounts.");
    fprintf(out, "accounts %lld\n", (long long)logins->all);
    gauge(out, "ci_accounts", "Accounts of test runs.");
    fprintf(out, "ci_accounts %lld\n", (long long)logins->ci_old);
    gauge(out, "nonci_accounts", "Accounts of people.");
    fprintf(out, "nonci_accounts %lld\n", (long long)(logins->all - logins->ci_old));
}
