/* Any bytes through a real connection: every request must be answered in order, nothing
 * may leak or be touched after it is gone. */
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/dict.h"
#include "common/log.h"
#include "common/loop.h"

#define HELD_MAX 4

static struct cm_dict_req *held[HELD_MAX]; /* answered later, out of order */

static bool hold(struct cm_dict_req *req)
{
    for (int i = 0; i < HELD_MAX; i++) {
        if (held[i] == NULL) {
            held[i] = req;
            return true;
        }
    }
    return false;
}

static void on_lookup(struct cm_dict_req *req, const char *key, const char *user,
                      void *ctx)
{
    (void)ctx;
    if (strchr(key, 'h') != NULL && hold(req)) {
        return;
    }
    (void)user;
    cm_dict_reply_value(req, key, strlen(key));
}

static void on_iterate(struct cm_dict_req *req, unsigned flags, const char *path,
                       const char *user, void *ctx)
{
    (void)user;
    (void)ctx;
    for (unsigned i = 0; i < (flags & 7); i++) {
        cm_dict_row(req, path, "v\n", 2);
    }
    cm_dict_reply_end(req);
}

static void on_commit(struct cm_dict_req *req, const struct cm_dict_op *ops, size_t n,
                      const char *user, void *ctx)
{
    (void)user;
    (void)ctx;
    size_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += strlen(ops[i].key) + ops[i].value_len;
    }
    if (sum % 2 == 0) {
        cm_dict_reply_ok(req);
    } else {
        cm_dict_reply_fail(req, "odd");
    }
}

static void on_gone(struct cm_dict_req *req, void *ctx)
{
    (void)ctx;
    for (int i = 0; i < HELD_MAX; i++) {
        if (held[i] == req) {
            held[i] = NULL;
        }
    }
}

static void quiet(const char *line, void *ctx)
{
    (void)line;
    (void)ctx;
}

static void release(void)
{
    for (int i = HELD_MAX - 1; i >= 0; i--) {
        if (held[i] != NULL) {
            struct cm_dict_req *req = held[i];
            held[i] = NULL;
            cm_dict_reply_none(req);
        }
    }
}

static void drain(int fd)
{
    char sink[65536];
    while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct cm_dict_handler handler = {on_lookup, on_iterate, on_commit,
                                                   on_gone};
    int pair[2];
    if (size > 100000 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0) {
        return 0;
    }
    cm_log_capture(quiet, NULL);
    struct cm_loop *loop = cm_loop_new();
    struct cm_dict *dict = cm_dict_new(loop, &handler, NULL);
    cm_dict_adopt(dict, pair[0]);
    ssize_t sent = send(pair[1], data, size, MSG_NOSIGNAL);
    (void)sent;
    shutdown(pair[1], SHUT_WR);
    for (int i = 0; i < 40 && cm_dict_connections(dict) > 0; i++) {
        cm_loop_once(loop, 0);
        if (i % 4 == 3) {
            release();
        }
        drain(pair[1]);
    }
    close(pair[1]);
    cm_dict_free(&dict);
    cm_loop_free(&loop);
    return 0;
}
