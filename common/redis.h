/* redis: an asynchronous connection to Redis (hiredis behind this one file).
 *
 * One connection; commands are pipelined and answered in order. A lost connection fails
 * its commands with kind RETRY and is opened again from a timer (100 ms, doubling to 2
 * s). While it is away a command fails at once with kind RETRY. Only a command that
 * comes before the first attempt has ended waits for its outcome. Each command has a
 * deadline: past it the connection is given up, for answers come in order. */
#ifndef CM_REDIS_H
#define CM_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

#define CM_REDIS_PATH "/run/redis/redis-server.sock" /* on the store */

struct cm_redis;

struct cm_redis_options {
    const char *path;    /* unix socket; copied */
    unsigned max_queue;  /* commands without an answer; 0 means 4096 */
    int64_t deadline_ms; /* per command; 0 means 2000 */
    /* Each time the connection comes and goes. May be NULL. */
    void (*on_state)(bool up, void *ctx);
    void *ctx;
};

enum cm_redis_type {
    CM_REDIS_NIL,
    CM_REDIS_INT,
    CM_REDIS_TEXT, /* bulk or status: text/len, any byte possible, NUL behind it */
    CM_REDIS_LIST
};

/* Valid during the callback only. */
struct cm_redis_value {
    enum cm_redis_type type;
    int64_t integer;
    const char *text;
    size_t len;
    const struct cm_redis_value *items; /* LIST: len of them */
};

/* Exactly one call per command. On failure value is NULL and err->kind is RETRY
 * (connection, deadline, LOADING, OOM, MISCONF) or WORLD (another error reply: the
 * command is wrong). */
typedef void (*cm_redis_cb)(const struct cm_redis_value *value,
                            const struct cm_err *err, void *ctx);

struct cm_redis *cm_redis_new(struct cm_loop *loop,
                              const struct cm_redis_options *options);
/* Outstanding callbacks get RETRY "shutting down". */
void cm_redis_free(struct cm_redis **redis);
bool cm_redis_up(const struct cm_redis *redis);
/* Why the connection was lost or refused, one line; "" before the first failure. */
const char *cm_redis_last_error(const struct cm_redis *redis);

struct cm_redis_arg {
    const void *data;
    size_t len;
};

/* argv[0] is the command's name; all are copied. The callback may come before return
 * and may be NULL. */
void cm_redis_command(struct cm_redis *redis, const struct cm_redis_arg *argv,
                      size_t argc, cm_redis_cb cb, void *ctx);
/* The same for words without NUL, ended by NULL. */
void cm_redis_words(struct cm_redis *redis, const char *const *words, cm_redis_cb cb,
                    void *ctx);

/* A Lua script, by its SHA-1 (EVALSHA; EVAL once when Redis does not know it). Zero
 * initialise sha. One object per script, living as long as redis. */
struct cm_redis_script {
    const char *source;
    char sha[41];
};
void cm_redis_eval(struct cm_redis *redis, struct cm_redis_script *script,
                   const struct cm_redis_arg *keys, size_t key_count,
                   const struct cm_redis_arg *args, size_t arg_count, cm_redis_cb cb,
                   void *ctx);

#endif
