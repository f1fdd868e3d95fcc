#include "trim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/mem.h"
#include "dir.h"

#define KEEP       4096u /* oldest messages remembered per round */
#define ROUNDS_MAX 1000  /* each removes something, or is the last */

struct message {
    int64_t time, size;
    char *name;
    bool is_new; /* else cur */
};

struct oldest {
    struct message *items; /* room for 2 * KEEP */
    size_t count;
    int64_t sum; /* of all messages, remembered or not */
};

struct trim {
    int mailbox;
    int64_t target, now;
    struct trim_result *result;
    struct cm_err *err;
};

static const char *number(const char *s, int64_t *value_r)
{
    size_t digits = strspn(s, "0123456789");
    if (digits == 0 || digits > 18) {
        return NULL;
    }
    *value_r = strtoll(s, NULL, 10);
    return s + digits;
}

bool trim_parse(const char *name, int64_t *time_r, int64_t *size_r)
{
    int64_t time, size;
    const char *rest = number(name, &time);
    if (rest == NULL || *rest != '.') {
        return false;
    }
    rest = strstr(rest, ",S=");
    if (rest == NULL || number(rest + 3, &size) == NULL) {
        return false;
    }
    *time_r = time;
    *size_r = size;
    return true;
}

static int by_age(const void *a, const void *b)
{
    const struct message *x = a, *y = b;
    if (x->time != y->time) {
        return x->time < y->time ? -1 : 1;
    }
    if (x->size != y->size) {
        return x->size < y->size ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

static void forget(struct oldest *oldest, size_t from)
{
    for (size_t i = from; i < oldest->count; i++) {
        free(oldest->items[i].name);
    }
    oldest->count = from;
}

static void remember(struct oldest *oldest, const struct message *message)
{
    oldest->items[oldest->count] = *message;
    oldest->items[oldest->count++].name = cm_strdup(message->name);
    if (oldest->count == 2 * (size_t)KEEP) {
        qsort(oldest->items, oldest->count, sizeof(*message), by_age);
        forget(oldest, KEEP);
    }
}

static int scan(const struct trim *trim, const char *sub, struct oldest *oldest)
{
    struct dir dir;
    struct dir_entry entry;
    struct message message = {.is_new = strcmp(sub, "new") == 0};
    int rc;
    if (dir_open(&dir, trim->mailbox, sub) != 0) {
        return errno == ENOENT ? 0 : -1;
    }
    while ((rc = dir_next(&dir, &entry)) == 1) {
        if (trim_parse(entry.name, &message.time, &message.size)) {
            union {
                const char *in;
                char *out;
            } name = {.in = entry.name}; /* copied by remember() */
            message.name = name.out;
            oldest->sum += message.size;
            remember(oldest, &message);
        }
    }
    dir_close(&dir);
    return rc;
}

/* Returns 1 when another round may be needed. */
static int remove_oldest(const struct trim *trim, struct oldest *oldest)
{
    struct trim_result *result = trim->result;
    qsort(oldest->items, oldest->count, sizeof(oldest->items[0]), by_age);
    /* Behind these an older one may have been forgotten. */
    if (oldest->count > KEEP) {
        forget(oldest, KEEP);
    }
    int64_t before = result->removed;
    for (size_t i = 0; i < oldest->count; i++) {
        const struct message *message = &oldest->items[i];
        if (oldest->sum <= trim->target || message->time > trim->now - TRIM_PROTECT_S) {
            return 0;
        }
        char path[300];
        snprintf(path, sizeof(path), "%s/%s", message->is_new ? "new" : "cur",
                 message->name);
        if (unlinkat(trim->mailbox, path, 0) == 0) {
            oldest->sum -= message->size;
            result->removed++;
            result->bytes += message->size;
        } else if (errno != ENOENT) {
            return cm_err_set(trim->err, CM_ERR_WORLD, "cannot remove a message: %s",
                              strerror(errno));
        } /* else renamed by Dovecot meanwhile; the next round sees its new name */
    }
    return oldest->sum > trim->target && result->removed > before;
}

static int rounds(const struct trim *trim)
{
    struct oldest oldest = {.items =
                                cm_calloc(2 * (size_t)KEEP, sizeof(struct message))};
    int rc = 1;
    for (int i = 0; i < ROUNDS_MAX && rc == 1; i++) {
        oldest.sum = 0;
        if (scan(trim, "cur", &oldest) != 0 || scan(trim, "new", &oldest) != 0) {
            rc = cm_err_set(trim->err, CM_ERR_WORLD, "cannot read the INBOX: %s",
                            strerror(errno));
        } else {
            rc = oldest.sum > trim->target ? remove_oldest(trim, &oldest) : 0;
        }
        forget(&oldest, 0);
    }
    free(oldest.items);
    return rc < 0 ? -1 : 0;
}

int trim_inbox(int base, const char *mailbox, int64_t target, int64_t now,
               struct trim_result *result_r, struct cm_err *err)
{
    *result_r = (struct trim_result){0};
    int fd = openat(base, mailbox, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: %s", mailbox, strerror(errno));
    }
    struct trim trim = {
        .mailbox = fd, .target = target, .now = now, .result = result_r, .err = err};
    int rc = -1;
    /* Of two warnings at once the second must count what the first has left. */
    if (flock(fd, LOCK_EX) != 0) {
        (void)cm_err_set(err, CM_ERR_WORLD, "%s: cannot lock: %s", mailbox,
                         strerror(errno));
    } else if ((rc = rounds(&trim)) != 0) {
        (void)cm_err_prefix(err, "%s", mailbox);
    }
    /* Last: a file made by Dovecot before would count what is gone. */
    if (result_r->removed > 0 && unlinkat(fd, "maildirsize", 0) != 0 &&
        errno != ENOENT && rc == 0) {
        rc = cm_err_set(err, CM_ERR_WORLD, "%s/maildirsize: %s", mailbox,
                        strerror(errno));
    }
    close(fd);
    return rc;
}
