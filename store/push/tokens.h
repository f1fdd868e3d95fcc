/* tokens: the device tokens of an address, from PostgreSQL (table push_token) or, while
 * that is away, from memory.
 *
 * A token is valid for 90 days from its last registration, and one registered more than
 * 60 s in the future is not; PostgreSQL's clock judges. What PostgreSQL answered is
 * kept for TOKENS_CACHE_MS, at most TOKENS_CACHE_BYTES of it, what was asked for
 * longest ago goes first. It is used only when PostgreSQL does not answer. */
#ifndef PUSH_TOKENS_H
#define PUSH_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/loop.h"

#define TOKENS_MAX         64 /* per address; more are not pushed to */
#define TOKENS_CACHE_BYTES (4u << 20)
#define TOKENS_CACHE_MS    (24 * 60 * 60 * 1000)

struct tokens;

/* on_state: each time PostgreSQL comes and goes. */
struct tokens *tokens_new(struct cm_loop *loop, const char *conninfo,
                          void (*on_state)(bool up, void *ctx), void *ctx);
void tokens_free(struct tokens **tokens); /* outstanding callbacks get UNKNOWN */
bool tokens_up(const struct tokens *tokens);
const char *tokens_last_error(const struct tokens *tokens);

struct token {
    char *data; /* any bytes */
    size_t len;
    bool posted; /* was given out from memory since PostgreSQL was last asked */
};

struct token_set {
    const struct token *items; /* in order of registration */
    size_t count;
};

enum tokens_source {
    TOKENS_TRUE,   /* from PostgreSQL */
    TOKENS_CACHED, /* from memory: PostgreSQL may know others by now */
    TOKENS_UNKNOWN /* not in memory either: the set is empty */
};

/* Valid during the callback only, which may come before return. err says why it is not
 * TOKENS_TRUE. */
typedef void (*tokens_cb)(enum tokens_source source, const struct token_set *set,
                          const struct cm_err *err, void *ctx);
void tokens_find(struct tokens *tokens, const char *addr, tokens_cb cb, void *ctx);

/* The token is dead. err->kind NONE: it is no longer in PostgreSQL; it is out of memory
 * in any case. */
typedef void (*tokens_done_cb)(const struct cm_err *err, void *ctx);
void tokens_remove(struct tokens *tokens, const char *addr, const void *token,
                   size_t len, tokens_done_cb cb, void *ctx);

/* The address is gone: nothing is known about it, and a search under way finds nothing.
 */
void tokens_forget(struct tokens *tokens, const char *addr);

#endif
