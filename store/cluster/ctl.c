#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/bus.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/err.h"
#include "common/mem.h"
#include "control.h"

/* How long a document with a changed ban may take. */
#define SETTLE_MS 15000

static int dial(const char *path, struct cm_err *err)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0) {
        cm_err_set(err, CM_ERR_RETRY,
                   "chatmail-cluster does not answer on %s: %s; see 'systemctl status "
                   "chatmail-cluster'",
                   path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

static int send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static void read_all(int fd, struct cm_buf *out)
{
    char chunk[8192];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR)) {
        cm_buf_add(out, chunk, n > 0 ? (size_t)n : 0);
    }
}

/* Returns the parsed answer; an {"error"} and silence are failures. */
static json_t *ask(const char *path, const char *verb, const struct cm_buf *input,
                   struct cm_err *err)
{
    int fd = dial(path, err);
    if (fd < 0) {
        return NULL;
    }
    struct cm_buf out;
    cm_buf_init(&out, CONTROL_ANSWER);
    if (send_all(fd, verb, strlen(verb)) == 0 && send_all(fd, "\n", 1) == 0 &&
        (input == NULL || send_all(fd, input->data, input->len) == 0) &&
        shutdown(fd, SHUT_WR) == 0) {
        read_all(fd, &out);
    }
    close(fd);
    json_t *answer = json_loadb(out.data, out.len, 0, NULL);
    const char *error = json_string_value(json_object_get(answer, "error"));
    if (answer == NULL || error != NULL) {
        cm_err_set(err, CM_ERR_WORLD, "%s",
                   error != NULL ? error
                                 : "chatmail-cluster hung up without an answer");
        json_decref(answer);
        answer = NULL;
    }
    cm_buf_clear(&out);
    return answer;
}

static int print(json_t *answer)
{
    int status = json_dumpf(answer, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(answer);
    return status == 0 ? 0 : 1;
}

static int do_publish(const char *path, char *const *words, struct cm_err *err)
{
    (void)words;
    struct cm_buf input;
    cm_buf_init(&input, CM_BUS_MAX);
    read_all(STDIN_FILENO, &input);
    json_t *answer = ask(path, "publish", &input, err);
    cm_buf_clear(&input);
    return answer != NULL ? print(answer) : -1;
}

static int do_status(const char *path, char *const *words, struct cm_err *err)
{
    (void)words;
    json_t *answer = ask(path, "status", NULL, err);
    return answer != NULL ? print(answer) : -1;
}

/* Appends who has not applied the epoch, and why. Returns their number. */
static size_t late(json_t *status, int64_t epoch, struct cm_buf *who)
{
    size_t count = 0, i;
    json_t *g;
    json_array_foreach(json_object_get(status, "gateways"), i, g)
    {
        json_int_t applied = json_integer_value(json_object_get(g, "applied_epoch"));
        const char *error = json_string_value(json_object_get(g, "error"));
        if (applied >= epoch || json_is_false(json_object_get(g, "agent"))) {
            continue;
        }
        cm_buf_fmt(who, "%s%s is at epoch %" JSON_INTEGER_FORMAT, count ? "; " : "",
                   json_string_value(json_object_get(g, "name")), applied);
        if (error != NULL && *error != '\0') {
            cm_buf_fmt(who, " (%s)", error);
        }
        count++;
    }
    return count;
}

static int do_wait(const char *path, char *const *words, struct cm_err *err)
{
    int64_t epoch, seconds;
    if (cm_value_int(words[0], 1, INT64_MAX, &epoch, err) != 0 ||
        cm_value_int(words[1], 0, 3600, &seconds, err) != 0) {
        return cm_err_prefix(err, "wait EPOCH SECONDS");
    }
    int64_t end = cm_now_mono_ms() + seconds * 1000;
    for (;;) {
        struct cm_buf who;
        cm_buf_init(&who, 8192);
        json_t *status = ask(path, "status", NULL, err);
        size_t count = status != NULL ? late(status, epoch, &who) : 1;
        if (count > 0 && status != NULL) {
            cm_err_set(err, CM_ERR_WORLD, "%s", who.data);
        }
        json_decref(status);
        cm_buf_clear(&who);
        if (count == 0) {
            return 0;
        }
        if (cm_now_mono_ms() >= end) {
            return -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = 250 * 1000 * 1000}, NULL);
    }
}

/* ---- bans ---- */

static int do_bans(const char *path, char *const *words, struct cm_err *err)
{
    (void)words;
    json_t *answer = ask(path, "bans", NULL, err);
    return answer != NULL ? print(answer) : -1;
}

/* Until the document in force is as the table. Prints its epoch. */
static int await_settled(const char *path, struct cm_err *err)
{
    int64_t end = cm_now_mono_ms() + SETTLE_MS;
    for (;;) {
        json_t *bans = ask(path, "bans", NULL, err);
        json_int_t epoch = json_integer_value(json_object_get(bans, "epoch"));
        bool settled = json_is_true(json_object_get(bans, "settled"));
        json_decref(bans);
        if (bans == NULL || settled) {
            return bans == NULL ? -1 : print(json_pack("{s:I}", "epoch", epoch));
        }
        if (cm_now_mono_ms() >= end) {
            return cm_err_set(err, CM_ERR_RETRY,
                              "it is noted, but no document with it was published yet; "
                              "see 'journalctl -u chatmail-cluster'");
        }
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    }
}

static int change_bans(const char *path, const char *verb, char *const *words,
                       struct cm_err *err)
{
    struct cm_buf input;
    cm_buf_init(&input, 1024);
    for (size_t i = 0; words[i] != NULL; i++) {
        cm_buf_fmt(&input, "%s%s", i > 0 ? " " : "", words[i]);
    }
    json_t *answer = ask(path, verb, &input, err);
    cm_buf_clear(&input);
    if (answer == NULL) {
        return -1;
    }
    json_decref(answer);
    return await_settled(path, err);
}

static int do_ban(const char *path, char *const *words, struct cm_err *err)
{
    return change_bans(path, "ban", words, err);
}

static int do_unban(const char *path, char *const *words, struct cm_err *err)
{
    return change_bans(path, "unban", words, err);
}

/* ---- dispatch ---- */

static const struct {
    const char *name;
    const char *words; /* for people */
    size_t min, max;
    int (*run)(const char *path, char *const *words, struct cm_err *err);
} verbs[] = {
    {"publish", "", 0, 0, do_publish},
    {"status", "", 0, 0, do_status},
    {"wait", " EPOCH SECONDS", 2, 2, do_wait},
    {"ban", " SOURCE SECONDS REASON", 3, 16, do_ban},
    {"unban", " SOURCE", 1, 1, do_unban},
    {"bans", "", 0, 0, do_bans},
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int usage(void)
{
    for (size_t i = 0; i < VERBS; i++) {
        fprintf(stderr, "%s chatmail-cluster ctl %s%s\n", i == 0 ? "usage:" : "      ",
                verbs[i].name, verbs[i].words);
    }
    return 2;
}

int ctl_main(const char *socket_path, char *const *words)
{
    struct cm_err err = {0};
    size_t v = 0, n = 0;
    while (words[0] != NULL && v < VERBS && strcmp(words[0], verbs[v].name) != 0) {
        v++;
    }
    while (words[0] != NULL && words[n + 1] != NULL) {
        n++;
    }
    if (words[0] == NULL || v == VERBS || n < verbs[v].min || n > verbs[v].max) {
        return usage();
    }
    int status = verbs[v].run(socket_path, words + 1, &err);
    if (status < 0) {
        fprintf(stderr, "chatmail-cluster: %s\n", err.text);
    }
    return status == 0 ? 0 : 1;
}
