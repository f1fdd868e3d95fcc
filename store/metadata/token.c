#include "token.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/pg.h"

#define LANES        4
#define LANE_QUEUE   1024
#define ARRAY_MAX    (2 * TOKENS_BYTES_MAX + 8 * TOKENS_MAX + 16)
#define ANSWER_MAX   (TOKENS_BYTES_MAX + TOKENS_MAX)
#define STATE_EFFECT "device tokens are told to try again"

#define EXPIRED "seen <= now() - interval '90 days'"
#define VALID   "not (" EXPIRED ") and seen <= now() + interval '60 s'"

static const struct cm_pg_statement list_tokens = {
    "list_tokens",
    "select token from push_token where addr = $1 and " VALID " order by id"};

/* $3 are the tokens to keep or to add. Of the others, `doomed` are all, or the expired
 * ones, or those for which there is no room. */
static const struct cm_pg_statement change_tokens = {
    "change_tokens",
    "with given as (select token, min(n) as n from unnest($3::bytea[])"
    " with ordinality as u(token, n) group by token),"
    " doomed as (select id, " EXPIRED " as expired, row_number() over w as n,"
    " sum(octet_length(token)) over w as bytes from push_token"
    " where addr = $1 and token not in (select token from given)"
    " window w as (order by " VALID " desc, seen desc, id desc)),"
    " gone as (delete from push_token where id in (select id from doomed"
    " where $2::boolean or expired"
    " or n + (select count(*) from given) > $4::bigint"
    " or bytes + (select coalesce(sum(octet_length(token)), 0) from given)"
    " > $5::bigint))"
    " insert into push_token (addr, token) select $1, token from given order by n"
    " on conflict (addr, sha256(token)) do update set seen = now()"};

struct token_store {
    struct cm_pg *lanes[LANES];
};

/* All lanes lead to one server, so the first one speaks for all. */
static void on_state(bool up, void *ctx)
{
    struct token_store *store = ctx;
    cm_log_state("postgresql", up, cm_pg_last_error(store->lanes[0]), STATE_EFFECT);
}

struct token_store *token_store_new(struct cm_loop *loop, const char *conninfo)
{
    struct token_store *store = cm_calloc(1, sizeof(*store));
    for (unsigned i = 0; i < LANES; i++) {
        struct cm_pg_options options = {.conninfo = conninfo,
                                        .connections = 1,
                                        .max_queue = LANE_QUEUE,
                                        .on_state = i == 0 ? on_state : NULL,
                                        .ctx = store};
        store->lanes[i] = cm_pg_new(loop, &options);
    }
    return store;
}

void token_store_free(struct token_store **store)
{
    if (*store == NULL) {
        return;
    }
    for (unsigned i = 0; i < LANES; i++) {
        cm_pg_free(&(*store)->lanes[i]);
    }
    free(*store);
    *store = NULL;
}

bool token_store_up(const struct token_store *store)
{
    for (unsigned i = 0; i < LANES; i++) {
        if (!cm_pg_up(store->lanes[i])) {
            return false;
        }
    }
    return true;
}

static struct cm_pg *lane_of(const struct token_store *store, const char *addr)
{
    uint32_t h = 2166136261u;
    for (const char *c = addr; *c != '\0'; c++) {
        h = (h ^ (unsigned char)*c) * 16777619u;
    }
    return store->lanes[(h >> 16) % LANES];
}

/* Reading */

struct listing {
    token_list_cb cb;
    void *ctx;
};

static int nibble(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* bytea as PostgreSQL writes it: \x and lower-case hex. */
static void add_bytea(struct cm_buf *out, const char *text)
{
    for (text += 2; text[0] != '\0' && text[1] != '\0'; text += 2) {
        char c = (char)(nibble(text[0]) << 4 | nibble(text[1]));
        cm_buf_add(out, &c, 1);
    }
}

static void on_list(const struct cm_pg_result *res, const struct cm_err *err, void *ctx)
{
    struct listing listing = *(struct listing *)ctx;
    free(ctx);
    if (res == NULL) {
        listing.cb(NULL, 0, err, listing.ctx);
        return;
    }
    struct cm_buf text;
    cm_buf_init(&text, ANSWER_MAX);
    for (int i = 0; i < cm_pg_rows(res); i++) {
        const char *token = cm_pg_value(res, i, 0);
        /* Writers that raced may have left a little more than fits. */
        if (text.len + 1 + strlen(token) / 2 > ANSWER_MAX) {
            break;
        }
        if (i > 0) {
            cm_buf_str(&text, " ");
        }
        add_bytea(&text, token);
    }
    struct cm_err none = {.kind = CM_ERR_NONE};
    listing.cb(text.data, text.len, &none, listing.ctx);
    cm_wipe(text.data, text.len);
    cm_buf_clear(&text);
}

void token_list(struct token_store *store, const char *addr, token_list_cb cb,
                void *ctx)
{
    struct listing *listing = cm_calloc(1, sizeof(*listing));
    *listing = (struct listing){.cb = cb, .ctx = ctx};
    const char *params[] = {addr};
    cm_pg_query(lane_of(store, addr), &list_tokens, params, 1, on_list, listing);
}

/* Writing */

struct writing {
    token_done_cb cb;
    void *ctx;
};

static void on_change(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    struct writing writing = *(struct writing *)ctx;
    free(ctx);
    struct cm_err none = {.kind = CM_ERR_NONE};
    writing.cb(res != NULL ? &none : err, writing.ctx);
}

/* bytea[] in its text form; the backslash of \x is escaped once more in an array. */
static void add_array(struct cm_buf *out, const struct change *change)
{
    static const char hex[] = "0123456789abcdef";
    cm_buf_str(out, "{");
    for (size_t i = 0; i < change->count; i++) {
        const struct change_token *token = &change->tokens[i];
        cm_buf_str(out, i == 0 ? "\"\\\\x" : ",\"\\\\x");
        for (size_t k = 0; k < token->len; k++) {
            unsigned char c = (unsigned char)token->data[k];
            char two[2] = {hex[c >> 4], hex[c & 15]};
            cm_buf_add(out, two, 2);
        }
        cm_buf_str(out, "\"");
    }
    cm_buf_str(out, "}");
    cm_assert(!out->overflow);
}

void token_change(struct token_store *store, const char *addr,
                  const struct change *change, token_done_cb cb, void *ctx)
{
    struct writing *writing = cm_calloc(1, sizeof(*writing));
    *writing = (struct writing){.cb = cb, .ctx = ctx};
    char max[16], bytes[16];
    snprintf(max, sizeof(max), "%d", TOKENS_MAX);
    snprintf(bytes, sizeof(bytes), "%d", TOKENS_BYTES_MAX);
    struct cm_buf array;
    cm_buf_init(&array, ARRAY_MAX);
    add_array(&array, change);
    const char *params[] = {addr, change->clear ? "t" : "f", array.data, max, bytes};
    cm_pg_query(lane_of(store, addr), &change_tokens, params, 5, on_change, writing);
    cm_wipe(array.data, array.len);
    cm_buf_clear(&array);
}
