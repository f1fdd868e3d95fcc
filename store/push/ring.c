#include "ring.h"

#include <stdlib.h>
#include <string.h>

#include "common/doorbell.h"
#include "common/mem.h"

struct ring {
    const struct ring_env *env;
    queue_done_cb cb;
    void *ctx;
    bool settles;
    char addr[];
};

bool ring_is_address(const char *text)
{
    size_t len = strlen(text);
    const char *at = strchr(text, '@');

    if (len > CM_DOORBELL_ADDR_MAX || text[0] == '.' || at == NULL || at == text ||
        at[1] == '\0' || strchr(at + 1, '@') != NULL) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '/' || (unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            return false;
        }
    }
    return strcmp(text + len - (len < 4 ? len : 4), ".tmp") != 0;
}

static void on_added(const struct cm_err *err, void *ctx)
{
    struct ring *ring = ctx;
    if (err->kind == CM_ERR_NONE) {
        pump_wake(ring->env->pump);
    }
    ring->cb(err, ring->ctx);
    free(ring);
}

static void on_found(enum tokens_source source, const struct token_set *set,
                     const struct cm_err *err, void *ctx)
{
    struct ring *ring = ctx;
    struct queue_token tokens[TOKENS_MAX];
    struct queue_add add = {
        .addr = ring->addr, .tokens = tokens, .complete = source == TOKENS_TRUE};
    if (ring->settles && source != TOKENS_TRUE) {
        ring->cb(err, ring->ctx); /* it is on record already */
        free(ring);
        return;
    }
    if (source == TOKENS_TRUE && set->count == 0 && !ring->settles) {
        ring->cb(err, ring->ctx);
        free(ring);
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        const struct token *token = &set->items[i];
        char key[ITEM_KEY_LEN + 1];
        if (ring->settles && token->posted) {
            continue;
        }
        item_key(ring->addr, token->data, token->len, key);
        tokens[add.count++] = (struct queue_token){
            token->data, token->len, pump_flying_us(ring->env->pump, key)};
    }
    queue_add(ring->env->queue, &add, on_added, ring);
}

static void start(const struct ring_env *env, const char *addr, bool settles,
                  queue_done_cb cb, void *ctx)
{
    size_t size = strlen(addr) + 1;
    struct ring *ring = cm_calloc(1, sizeof(*ring) + size);
    ring->env = env;
    ring->cb = cb;
    ring->ctx = ctx;
    ring->settles = settles;
    memcpy(ring->addr, addr, size);
    tokens_find(env->tokens, ring->addr, on_found, ring);
}

void ring_record(const struct ring_env *env, const char *addr, queue_done_cb cb,
                 void *ctx)
{
    struct cm_err err;
    if (queue_up(env->queue)) {
        start(env, addr, false, cb, ctx);
        return;
    }
    (void)cm_err_set(&err, CM_ERR_RETRY, "Redis is away");
    cb(&err, ctx);
}

void ring_settle(const struct ring_env *env, const char *addr, queue_done_cb cb,
                 void *ctx)
{
    start(env, addr, true, cb, ctx);
}
