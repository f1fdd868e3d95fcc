#include "tokens.h"

#include <search.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/pg.h"

#define PG_QUEUE    4096
#define DEADLINE_MS 2000
#define HEX_MAX     (2u << 20)

static const struct cm_pg_statement find_tokens = {
    "find_tokens", "select token from push_token where addr = $1"
                   " and seen > now() - interval '90 days'"
                   " and seen <= now() + interval '60 s' order by id"};
static const struct cm_pg_statement remove_token = {
    "remove_token", "delete from push_token where addr = $1 and token = $2::bytea"};

/* What is known of one address. */
struct known {
    char *addr;
    struct token *items;
    size_t count;
    size_t bytes;
    int64_t since_ms; /* monotonic */
    TAILQ_ENTRY(known) by_use;
};

struct search {
    struct tokens *tokens;
    char *addr;
    tokens_cb cb;
    void *ctx;
    bool forgotten;
    LIST_ENTRY(search) all;
};

struct tokens {
    struct cm_pg *pg;
    void *tree;
    TAILQ_HEAD(known_head, known) by_use; /* the newest first */
    size_t bytes;
    LIST_HEAD(, search) searches;
};

struct tokens *tokens_new(struct cm_loop *loop, const char *conninfo,
                          void (*on_state)(bool up, void *ctx), void *ctx)
{
    struct tokens *tokens = cm_calloc(1, sizeof(*tokens));
    struct cm_pg_options options = {.conninfo = conninfo,
                                    .max_queue = PG_QUEUE,
                                    .deadline_ms = DEADLINE_MS,
                                    .on_state = on_state,
                                    .ctx = ctx};
    TAILQ_INIT(&tokens->by_use);
    LIST_INIT(&tokens->searches);
    tokens->pg = cm_pg_new(loop, &options);
    return tokens;
}

bool tokens_up(const struct tokens *tokens)
{
    return cm_pg_up(tokens->pg);
}

const char *tokens_last_error(const struct tokens *tokens)
{
    return cm_pg_last_error(tokens->pg);
}

/* Memory */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct known *)a)->addr, ((const struct known *)b)->addr);
}

static struct known *known_find(const struct tokens *tokens, const char *addr)
{
    union {
        const char *in;
        char *out;
    } u = {.in = addr}; /* only compared */
    struct known want = {.addr = u.out};
    struct known **node = tfind(&want, &tokens->tree, compare);
    return node != NULL ? *node : NULL;
}

static void token_clear(struct token *token)
{
    cm_wipe(token->data, token->len);
    free(token->data);
}

static void known_drop(struct tokens *tokens, struct known *known)
{
    tdelete(known, &tokens->tree, compare);
    TAILQ_REMOVE(&tokens->by_use, known, by_use);
    tokens->bytes -= known->bytes;
    for (size_t i = 0; i < known->count; i++) {
        token_clear(&known->items[i]);
    }
    free(known->items);
    free(known->addr);
    free(known);
}

static void known_touch(struct tokens *tokens, struct known *known)
{
    TAILQ_REMOVE(&tokens->by_use, known, by_use);
    TAILQ_INSERT_HEAD(&tokens->by_use, known, by_use);
}

/* Takes over items. */
static void known_put(struct tokens *tokens, const char *addr, struct token *items,
                      size_t count)
{
    struct known *known = known_find(tokens, addr);
    if (known != NULL) {
        known_drop(tokens, known);
    }
    known = cm_calloc(1, sizeof(*known));
    known->addr = cm_strdup(addr);
    known->items = items;
    known->count = count;
    known->since_ms = cm_now_mono_ms();
    known->bytes = sizeof(*known) + strlen(addr) + count * sizeof(*items);
    for (size_t i = 0; i < count; i++) {
        known->bytes += items[i].len;
    }
    cm_assert(tsearch(known, &tokens->tree, compare) != NULL);
    TAILQ_INSERT_HEAD(&tokens->by_use, known, by_use);
    tokens->bytes += known->bytes;
    while (tokens->bytes > TOKENS_CACHE_BYTES) {
        known_drop(tokens, TAILQ_LAST(&tokens->by_use, known_head));
    }
}

void tokens_free(struct tokens **tokensp)
{
    struct tokens *tokens = *tokensp;
    if (tokens == NULL) {
        return;
    }
    *tokensp = NULL;
    cm_pg_free(&tokens->pg);
    while (!TAILQ_EMPTY(&tokens->by_use)) {
        known_drop(tokens, TAILQ_FIRST(&tokens->by_use));
    }
    free(tokens);
}

/* Searching */

static int nibble(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* bytea as PostgreSQL writes it: \x and lower-case hex. */
static struct token token_of(const char *text)
{
    size_t len = (strlen(text) - 2) / 2;
    char *data = cm_malloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        data[i] = (char)(nibble(text[2 + 2 * i]) << 4 | nibble(text[3 + 2 * i]));
    }
    data[len] = '\0';
    return (struct token){.data = data, .len = len};
}

static bool was_posted(const struct known *before, const struct token *token)
{
    for (size_t i = 0; before != NULL && i < before->count; i++) {
        const struct token *t = &before->items[i];
        if (t->posted && t->len == token->len &&
            memcmp(t->data, token->data, t->len) == 0) {
            return true;
        }
    }
    return false;
}

/* The marks are told once; what is kept begins without them. */
static void answer_true(struct tokens *tokens, const struct search *search,
                        const struct cm_pg_result *res)
{
    const struct known *before = known_find(tokens, search->addr);
    struct cm_err none = {.kind = CM_ERR_NONE};
    size_t count = (size_t)cm_pg_rows(res);
    count = count < TOKENS_MAX ? count : TOKENS_MAX;
    struct token told[TOKENS_MAX];
    struct token *items = cm_calloc(count + 1, sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        items[i] = token_of(cm_pg_value(res, (int)i, 0));
        told[i] = items[i];
        told[i].posted = was_posted(before, &items[i]);
    }
    /* Nothing is evicted before the callback: told borrows from items. */
    struct token_set set = {.items = told, .count = count};
    search->cb(TOKENS_TRUE, &set, &none, search->ctx);
    known_put(tokens, search->addr, items, count);
}

static void answer_cached(struct tokens *tokens, const struct search *search,
                          const struct cm_err *err)
{
    struct known *known = known_find(tokens, search->addr);
    struct token_set set = {.count = 0};
    if (known != NULL && cm_now_mono_ms() - known->since_ms > TOKENS_CACHE_MS) {
        known_drop(tokens, known);
        known = NULL;
    }
    if (known == NULL) {
        search->cb(TOKENS_UNKNOWN, &set, err, search->ctx);
        return;
    }
    known_touch(tokens, known);
    for (size_t i = 0; i < known->count; i++) {
        known->items[i].posted = true;
    }
    set = (struct token_set){.items = known->items, .count = known->count};
    search->cb(TOKENS_CACHED, &set, err, search->ctx);
}

static void on_found(const struct cm_pg_result *res, const struct cm_err *err,
                     void *ctx)
{
    struct search *search = ctx;
    struct token_set none = {.count = 0};
    LIST_REMOVE(search, all);
    if (search->forgotten) {
        search->cb(TOKENS_TRUE, &none, err, search->ctx);
    } else if (res != NULL) {
        answer_true(search->tokens, search, res);
    } else {
        answer_cached(search->tokens, search, err);
    }
    free(search->addr);
    free(search);
}

void tokens_find(struct tokens *tokens, const char *addr, tokens_cb cb, void *ctx)
{
    struct search *search = cm_calloc(1, sizeof(*search));
    *search = (struct search){
        .tokens = tokens, .addr = cm_strdup(addr), .cb = cb, .ctx = ctx};
    LIST_INSERT_HEAD(&tokens->searches, search, all);
    const char *params[] = {search->addr};
    cm_pg_query(tokens->pg, &find_tokens, params, 1, on_found, search);
}

/* Removing */

struct removing {
    tokens_done_cb cb;
    void *ctx;
};

static void on_removed(const struct cm_pg_result *res, const struct cm_err *err,
                       void *ctx)
{
    struct removing removing = *(struct removing *)ctx;
    struct cm_err none = {.kind = CM_ERR_NONE};
    free(ctx);
    removing.cb(res != NULL ? &none : err, removing.ctx);
}

static void known_remove(struct tokens *tokens, const char *addr, const void *token,
                         size_t len)
{
    struct known *known = known_find(tokens, addr);
    for (size_t i = 0; known != NULL && i < known->count; i++) {
        struct token *t = &known->items[i];
        if (t->len == len && memcmp(t->data, token, len) == 0) {
            token_clear(t);
            memmove(t, t + 1, (known->count - i - 1) * sizeof(*t));
            known->count--;
            return;
        }
    }
}

void tokens_remove(struct tokens *tokens, const char *addr, const void *token,
                   size_t len, tokens_done_cb cb, void *ctx)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = token;
    struct removing *removing = cm_calloc(1, sizeof(*removing));
    struct cm_buf hex;
    *removing = (struct removing){cb, ctx};
    known_remove(tokens, addr, token, len);
    cm_buf_init(&hex, HEX_MAX);
    cm_buf_str(&hex, "\\x");
    for (size_t i = 0; i < len; i++) {
        char two[2] = {digits[bytes[i] >> 4], digits[bytes[i] & 15]};
        cm_buf_add(&hex, two, 2);
    }
    cm_assert(!hex.overflow);
    const char *params[] = {addr, hex.data};
    cm_pg_query(tokens->pg, &remove_token, params, 2, on_removed, removing);
    cm_wipe(hex.data, hex.len);
    cm_buf_clear(&hex);
}

void tokens_forget(struct tokens *tokens, const char *addr)
{
    struct known *known = known_find(tokens, addr);
    struct search *search;
    if (known != NULL) {
        known_drop(tokens, known);
    }
    LIST_FOREACH(search, &tokens->searches, all)
    {
        if (strcmp(search->addr, addr) == 0) {
            search->forgotten = true;
        }
    }
}
