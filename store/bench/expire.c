/* chatmail-expire over 1 000 000 messages in 10 000 mailboxes (--quick: a hundredth),
 * against find over the same tree. The row expire_messages says how many it was. Both
 * only look; three turns each, interleaved, the best counts. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "expire/tree.h"

#include "bench.h"

#define MAILBOXES   10000
#define MESSAGES    100 /* per mailbox */
#define TURNS       3
#define RATIO_GOAL  2.0
#define RSS_GOAL_MB 32.0

static int trouble(struct cm_err *err, const char *what)
{
    return cm_err_set(err, CM_ERR_WORLD, "%s: %s", what, strerror(errno));
}

/* Half in cur and half in new, with the files that Dovecot keeps beside them. */
static int fill_mailbox(int base, const char *name, struct cm_err *err)
{
    static const char *const dirs[] = {"", "/cur", "/new", "/tmp"};
    static const char *const extra[] = {"maildirsize", "dovecot-uidlist",
                                        "dovecot.index.log", "dovecot-uidvalidity"};
    char path[200];
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%s%s", name, dirs[i]);
        if (mkdirat(base, path, 0700) != 0) {
            return trouble(err, path);
        }
    }
    for (int i = 0; i < MESSAGES + 4; i++) {
        if (i < MESSAGES) {
            snprintf(path, sizeof(path), "%s/%s/%lld.M%dP123456.store,S=2345,W=2400%s",
                     name, i % 2 ? "cur" : "new", (long long)time(NULL) - i, i,
                     i % 2 ? ":2,S" : "");
        } else {
            snprintf(path, sizeof(path), "%s/%s", name, extra[i - MESSAGES]);
        }
        int fd = openat(base, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0) {
            return trouble(err, path);
        }
        close(fd);
    }
    return 0;
}

static int fill(const char *boxes, int mailboxes, struct cm_err *err)
{
    int base = open(boxes, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = base < 0 ? trouble(err, boxes) : 0;
    for (int i = 0; i < mailboxes && rc == 0; i++) {
        char name[64];
        snprintf(name, sizeof(name), "user%06d@chat.example", i);
        rc = fill_mailbox(base, name, err);
    }
    if (base >= 0) {
        close(base);
    }
    return rc;
}

struct turn {
    double seconds;
    double rss_mb;
};

/* Output to /dev/null, as find's to a file would measure the file. */
static int measure(const char *const *argv, struct turn *best, struct cm_err *err)
{
    struct rusage usage;
    int status = 0;
    int64_t start = cm_now_mono_ms();
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        union {
            const char *const *in;
            char *const *out;
        } args = {.in = argv};
        execvp(args.out[0], args.out);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid) {
        return trouble(err, argv[0]);
    }
    if (status != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s failed (status %d)", argv[0], status);
    }
    double seconds = (double)(cm_now_mono_ms() - start) / 1000;
    if (best->seconds == 0 || seconds < best->seconds) {
        best->seconds = seconds;
    }
    if ((double)usage.ru_maxrss / 1024 > best->rss_mb) {
        best->rss_mb = (double)usage.ru_maxrss / 1024;
    }
    return 0;
}

static void add_rows(struct rows *rows, const struct turn *find,
                     const struct turn *expire, int mailboxes)
{
    rows_add(rows, "expire_messages", (double)mailboxes * MESSAGES, "files");
    rows_add(rows, "expire_find", find->seconds, "s");
    struct row *row = rows_add(rows, "expire_walk", expire->seconds, "s");
    row->compared_with = "find";
    row->ratio = expire->seconds / (find->seconds > 0 ? find->seconds : 0.001);
    snprintf(row->goal, sizeof(row->goal), "ratio <= %.1f", RATIO_GOAL);
    row->ok = row->ratio <= RATIO_GOAL;
    row = rows_add(rows, "expire_rss", expire->rss_mb, "MB");
    snprintf(row->goal, sizeof(row->goal), "< %.0f MB", RSS_GOAL_MB);
    row->ok = expire->rss_mb < RSS_GOAL_MB;
}

static int compare(const char *dir, int mailboxes, struct rows *rows,
                   struct cm_err *err)
{
    char boxes[80], ini[80], text[200];
    struct turn find = {0}, expire = {0};
    snprintf(boxes, sizeof(boxes), "%s/mail", dir);
    snprintf(ini, sizeof(ini), "%s/chatmail.ini", dir);
    snprintf(text, sizeof(text),
             "[params]\nmail_domain = chat.example\nmailboxes_dir = %s\n", boxes);
    const char *const find_argv[] = {"find", boxes, NULL};
    const char *const expire_argv[] = {EXPIRE_PROGRAM, "--config", ini, "--mail-only",
                                       NULL};
    if (cm_file_replace(ini, text, strlen(text), 0600, err) != 0 ||
        cm_file_mkdirs(boxes, 0700, err) != 0 || fill(boxes, mailboxes, err) != 0) {
        return -1;
    }
    for (int i = 0; i < TURNS; i++) {
        if (measure(find_argv, &find, err) != 0 ||
            measure(expire_argv, &expire, err) != 0) {
            return -1;
        }
    }
    add_rows(rows, &find, &expire, mailboxes);
    return 0;
}

static int mailboxes(enum bench_size size)
{
    return size == BENCH_QUICK ? MAILBOXES / 100 : MAILBOXES;
}

int bench_expire(enum bench_size size, struct rows *rows, struct cm_err *err)
{
    const char *tmp = getenv("TMPDIR");
    char dir[64];
    int64_t files;
    struct cm_err later;
    snprintf(dir, sizeof(dir), "%.40s/bench-expire-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(dir) == NULL) {
        return trouble(err, dir);
    }
    int rc = compare(dir, mailboxes(size), rows, err);
    if (tree_remove(AT_FDCWD, dir, &files, &later) != 0 && rc == 0) {
        *err = later;
        rc = -1;
    }
    return rc;
}
