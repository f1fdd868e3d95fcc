#include "tour.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "dir.h"

int tour_open(const char *dir, int *base_r, struct cm_err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        fprintf(stderr, "no mailboxes found at %s\n", dir);
        return 0;
    }
    if (fd < 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: %s", dir, strerror(errno));
    }
    *base_r = fd;
    return 1;
}

struct batch {
    struct accounts *accounts; /* NULL once it is away */
    struct crew *crew;
    struct crew_job *jobs;
    size_t count;
};

static int hand_out(struct batch *batch, struct cm_err *err)
{
    int rc = 0;
    if (batch->accounts != NULL && batch->count > 0 &&
        accounts_look(batch->accounts, batch->jobs, batch->count, err) != 0) {
        batch->accounts = NULL;
        rc = -1;
    }
    for (size_t i = 0; i < batch->count; i++) {
        crew_give(batch->crew, &batch->jobs[i]);
    }
    batch->count = 0;
    return rc;
}

/* A line break would end the name in the middle of a question to PostgreSQL. */
static bool is_mailbox(const struct dir_entry *entry)
{
    return (entry->type == DT_DIR || entry->type == DT_UNKNOWN) &&
           strchr(entry->name, '@') != NULL && strchr(entry->name, '\n') == NULL;
}

/* The whole list first would be memory without a bound, so names come in batches. */
int tour_mailboxes(int base, struct accounts *accounts, int64_t maxnum,
                   struct crew *crew, struct cm_err *err)
{
    struct batch batch = {.accounts = accounts,
                          .crew = crew,
                          .jobs = cm_calloc(ACCOUNTS_BATCH, sizeof(struct crew_job))};
    struct dir dir;
    struct dir_entry entry;
    int rc = 0, more = -1;
    if (dir_open(&dir, base, ".") == 0) {
        while (maxnum != 0 && (more = dir_next(&dir, &entry)) == 1) {
            if (!is_mailbox(&entry)) {
                continue;
            }
            struct crew_job *job = &batch.jobs[batch.count++];
            *job = (struct crew_job){.seen = -1};
            snprintf(job->mailbox, sizeof(job->mailbox), "%s", entry.name);
            maxnum -= maxnum > 0;
            if (batch.count == ACCOUNTS_BATCH && hand_out(&batch, err) != 0) {
                rc = -1;
            }
        }
        dir_close(&dir);
    }
    if (more < 0 && maxnum != 0) {
        rc = cm_err_set(err, CM_ERR_WORLD, "cannot list the mailboxes: %s",
                        strerror(errno));
    }
    if (hand_out(&batch, err) != 0) {
        rc = -1;
    }
    free(batch.jobs);
    return rc;
}

int tour_aside(int fd, struct crew *crew, struct cm_err *err)
{
    struct dir dir;
    struct dir_entry entry;
    int more = -1;
    if (dir_open(&dir, fd, ".") == 0) {
        while ((more = dir_next(&dir, &entry)) == 1) {
            struct crew_job job = {.state = ACCOUNT_ASIDE};
            snprintf(job.mailbox, sizeof(job.mailbox), "%s", entry.name);
            crew_give(crew, &job);
        }
        dir_close(&dir);
    }
    return more == 0 ? 0
                     : cm_err_set(err, CM_ERR_WORLD,
                                  "cannot list removed mailboxes: %s", strerror(errno));
}
