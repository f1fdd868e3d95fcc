#include "tally.h"

#include <stddef.h>

#include "common/metrics.h"

static const struct {
    const char *name, *help;
    size_t offset;
} rows[] = {
    {"chatmail_expire_mailboxes", "Mailboxes seen by the last run.",
     offsetof(struct tally, mailboxes)},
    {"chatmail_expire_mailboxes_removed", "Inactive accounts it removed.",
     offsetof(struct tally, mailboxes_removed)},
    {"chatmail_expire_files", "Files seen by the last run.",
     offsetof(struct tally, files)},
    {"chatmail_expire_files_removed", "Old and large messages it removed.",
     offsetof(struct tally, files_removed)},
    {"chatmail_expire_bytes_removed", "Their size.",
     offsetof(struct tally, bytes_removed)},
    {"chatmail_expire_over_quota", "Mailboxes it found too full.",
     offsetof(struct tally, over_quota)},
    {"chatmail_expire_messages_trimmed", "Messages it removed from those.",
     offsetof(struct tally, trimmed)},
    {"chatmail_expire_troubles", "What it could not read or remove.",
     offsetof(struct tally, troubles)},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static int64_t *field(struct tally *tally, size_t row)
{
    return (int64_t *)(void *)((char *)tally + rows[row].offset);
}

void tally_add(struct tally *sum, const struct tally *part)
{
    struct tally copy = *part;
    for (size_t i = 0; i < ROWS; i++) {
        *field(sum, i) += *field(&copy, i);
    }
}

void tally_text(FILE *out, const struct tally *tally, bool removed, int64_t took_ms)
{
    fprintf(out, "%s %lld of %lld mailboxes, %lld of %lld files (%lld bytes), ",
            removed ? "removed" : "would remove", (long long)tally->mailboxes_removed,
            (long long)tally->mailboxes, (long long)tally->files_removed,
            (long long)tally->files, (long long)tally->bytes_removed);
    fprintf(out, "%lld mailboxes over quota, %lld messages trimmed, in %.2f seconds\n",
            (long long)tally->over_quota, (long long)tally->trimmed,
            (double)took_ms / 1000);
}

void tally_prometheus(struct cm_buf *out, const struct tally *tally, int status,
                      int64_t ended, int64_t took_ms)
{
    struct tally copy = *tally;
    cm_metric_gauge(out, "chatmail_expire_ended_seconds",
                    "When the last run ended, Unix time.", (double)ended);
    cm_metric_gauge(out, "chatmail_expire_duration_seconds", "How long it took.",
                    (double)took_ms / 1000);
    cm_metric_gauge(out, "chatmail_expire_status",
                    "Its exit status; 0: all went well, see chatmail-expire(8).",
                    status);
    for (size_t i = 0; i < ROWS; i++) {
        cm_metric_gauge(out, rows[i].name, rows[i].help, (double)*field(&copy, i));
    }
}
