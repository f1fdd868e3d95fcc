#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"

static int take_lock(const char *dir, int *fd_r, struct cm_err *err)
{
    char *path = cm_asprintf("%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int rc = 0;

    if (fd < 0) {
        rc = cm_err_set(err, CM_ERR_WORLD, "%s: %s", path, strerror(errno));
    } else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        char pid[24] = "";
        ssize_t n = read(fd, pid, sizeof(pid) - 1);
        pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
        close(fd);
        rc = cm_err_set(err, CM_ERR_WORLD,
                        "another chatops (pid %s) is working on this cluster; "
                        "wait until it has finished",
                        pid[0] != '\0' ? pid : "unknown");
    } else {
        if (ftruncate(fd, 0) != 0 || dprintf(fd, "%ld\n", (long)getpid()) < 0) {
            /* the pid is a courtesy; the lock is what counts */
        }
        *fd_r = fd;
    }
    free(path);
    return rc;
}

static void note_line(struct op_journal *j, json_t *line)
{
    const char *event = json_string_value(json_object_get(line, "event"));
    const char *node = json_string_value(json_object_get(line, "node"));
    const char *step = json_string_value(json_object_get(line, "step"));

    if (event == NULL) {
        return;
    }
    if (strcmp(event, "start") == 0 && node != NULL && step != NULL) {
        snprintf(j->interrupted_at, sizeof(j->interrupted_at), "%s: %s", node, step);
    } else {
        j->interrupted_at[0] = '\0';
    }
    j->interrupted = strcmp(event, "run-end") != 0;
}

/* A torn last line (power cut) does not parse and is skipped. */
static void read_history(struct op_journal *j, char *text)
{
    char *save = NULL;

    for (char *l = strtok_r(text, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        json_t *line = json_loads(l, 0, NULL);
        if (line != NULL) {
            note_line(j, line);
            json_decref(line);
        }
    }
}

static int open_file(const char *path, struct op_journal *j, struct cm_err *err)
{
    char *text = NULL;
    size_t len = 0;
    int found = cm_file_read(path, 4 * OP_JOURNAL_MAX, &text, &len, err);

    if (found < 0) {
        return -1;
    }
    if (found == 1) {
        /* A line without an end was torn: end it, so that the next one is whole. */
        bool torn = len > 0 && text[len - 1] != '\n';
        read_history(j, text);
        free(text);
        if (len > OP_JOURNAL_MAX) {
            char *old = cm_asprintf("%s.1", path);
            int failed = rename(path, old);
            free(old);
            if (failed != 0) {
                return cm_err_set(err, CM_ERR_WORLD, "%s: %s", path, strerror(errno));
            }
            torn = false;
        }
        j->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (j->fd >= 0 && torn && write(j->fd, "\n", 1) != 1) {
            return cm_err_set(err, CM_ERR_WORLD, "%s: %s", path, strerror(errno));
        }
    } else {
        j->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    }
    if (j->fd < 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: %s", path, strerror(errno));
    }
    return 0;
}

int op_journal_open(const char *dir, struct op_journal *j_r, struct cm_err *err)
{
    struct op_journal j = {.fd = -1, .lock_fd = -1};
    char *path = cm_asprintf("%s/journal.jsonl", dir);
    int rc = -1;

    if (cm_file_mkdirs(dir, 0700, err) != 0 || take_lock(dir, &j.lock_fd, err) != 0) {
        goto out;
    }
    rc = open_file(path, &j, err);
    if (rc == 0) {
        *j_r = j;
    } else {
        op_journal_close(&j);
    }
out:
    free(path);
    return rc;
}

static void set_text(json_t *o, const char *key, const char *value)
{
    if (value != NULL) {
        /* Text from a node may not be UTF-8; the journal goes on without it then. */
        json_object_set_new(o, key, json_string(value));
    }
}

int op_journal_write(struct op_journal *j, const struct op_entry *entry,
                     struct cm_err *err)
{
    json_t *o = json_object();

    json_object_set_new(o, "time_ms", json_integer(cm_now_wall_ms()));
    set_text(o, "event", entry->event);
    set_text(o, "node", entry->node);
    set_text(o, "step", entry->step);
    set_text(o, "result", entry->result);
    set_text(o, "error", entry->error);
    if (entry->ms >= 0) {
        json_object_set_new(o, "ms", json_integer(entry->ms));
    }
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    cm_assert(text != NULL);
    char *line = cm_asprintf("%s\n", text);
    free(text);
    size_t len = strlen(line);
    bool ok = write(j->fd, line, len) == (ssize_t)len && fdatasync(j->fd) == 0;
    free(line);
    if (!ok) {
        return cm_err_set(err, CM_ERR_WORLD, "the journal cannot be written: %s",
                          strerror(errno));
    }
    return 0;
}

void op_journal_close(struct op_journal *j)
{
    if (j->fd >= 0) {
        close(j->fd);
    }
    if (j->lock_fd >= 0) {
        close(j->lock_fd);
    }
    j->fd = j->lock_fd = -1;
}
