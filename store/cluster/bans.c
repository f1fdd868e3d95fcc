#include "bans.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/conf.h"
#include "common/log.h"
#include "common/mem.h"
#include "proxy/plane.h"

static const struct cm_pg_statement list_stmt = {
    "bans", "select text(source), reason, extract(epoch from since)::bigint,"
            " extract(epoch from until)::bigint from ban where until > now()"
            " order by until desc, source limit 4096"};
static const struct cm_pg_statement add_stmt = {"ban_add",
                                                "select ban_add($1, $2, $3, true)"};
static const struct cm_pg_statement remove_stmt = {
    "ban_remove", "with d as (delete from ban where source = $1::inet and until > now()"
                  " returning source) select pg_notify('chatmail_ban', '') from d"};

struct entry {
    struct px_ban ban;
    int64_t since;
    char reason[BANS_REASON_MAX + 1];
};

struct bans {
    struct cm_pg *pg;
    struct cm_timer *poll;
    void (*read)(void *ctx);
    void *ctx;
    struct entry *entries; /* the longest first */
    size_t count;
    bool loaded;
    bool reading, again; /* again: it may have changed since the query was sent */
    bans_cb change_cb;   /* NULL: nothing is being changed */
    void *change_ctx;
    bool changed; /* waits for a reading that began after it */
};

/* ---- reading ---- */

static void change_done(struct bans *b, const struct cm_err *err)
{
    bans_cb cb = b->change_cb;
    b->change_cb = NULL;
    b->changed = false;
    cb(err, b->change_ctx);
}

static void take_row(const struct cm_pg_result *res, int row, struct entry *e)
{
    struct cm_err err;
    *e = (struct entry){.since = 0};
    /* The table's own checks leave nothing that is not so. */
    if (cm_source_parse(cm_pg_value(res, row, 0), e->ban.source, &err) != 0 ||
        cm_value_int(cm_pg_value(res, row, 2), 0, INT64_MAX, &e->since, &err) != 0 ||
        cm_value_int(cm_pg_value(res, row, 3), 1, INT64_MAX, &e->ban.until, &err) !=
            0) {
        cm_log_err(CM_LOG_ERROR, "ban_unreadable", &err);
    }
    snprintf(e->reason, sizeof(e->reason), "%s", cm_pg_value(res, row, 1));
}

static void on_list(const struct cm_pg_result *res, const struct cm_err *err, void *ctx)
{
    struct bans *b = ctx;
    b->reading = false;
    cm_timer_set(b->poll, BANS_POLL_MS);
    if (res == NULL) {
        if (err->kind == CM_ERR_WORLD) {
            cm_log_err(CM_LOG_ERROR, "bans_failed", err);
        }
        if (b->changed) {
            change_done(b, err);
        }
        return;
    }
    if (b->again) {
        bans_read(b);
        return;
    }
    free(b->entries);
    b->count = (size_t)cm_pg_rows(res);
    b->entries = cm_calloc(b->count + 1, sizeof(*b->entries));
    for (size_t i = 0; i < b->count; i++) {
        take_row(res, (int)i, &b->entries[i]);
    }
    b->loaded = true;
    b->read(b->ctx);
    if (b->changed) {
        change_done(b, NULL);
    }
}

void bans_read(struct bans *b)
{
    b->again = b->reading;
    if (!b->reading) {
        b->reading = true;
        cm_pg_query(b->pg, &list_stmt, NULL, 0, on_list, b);
    }
}

static void on_poll(void *ctx)
{
    bans_read(ctx);
}

struct bans *bans_new(struct cm_loop *loop, struct cm_pg *pg, void (*read)(void *ctx),
                      void *ctx)
{
    struct bans *b = cm_calloc(1, sizeof(*b));
    b->pg = pg;
    b->read = read;
    b->ctx = ctx;
    b->poll = cm_timer_new(loop, on_poll, b);
    cm_timer_set(b->poll, 0);
    return b;
}

void bans_free(struct bans **bans)
{
    if (*bans == NULL) {
        return;
    }
    cm_timer_free(&(*bans)->poll);
    free((*bans)->entries);
    free(*bans);
    *bans = NULL;
}

/* ---- into a document ---- */

static int by_source(const void *a, const void *b)
{
    const struct px_ban *left = a, *right = b;
    return memcmp(left->source, right->source, CM_SOURCE_LEN);
}

void bans_fill(const struct bans *b, struct px_state *state, int64_t now_s)
{
    memset(state->bans, 0, sizeof(state->bans));
    state->ban_count = 0;
    for (size_t i = 0; i < b->count && state->ban_count < PX_BANS_MAX; i++) {
        const struct px_ban *ban = &b->entries[i].ban;
        if (ban->until > now_s && px_ban_allowed(state, ban)) {
            state->bans[state->ban_count++] = *ban;
        }
    }
    qsort(state->bans, state->ban_count, sizeof(state->bans[0]), by_source);
}

/* The next one that is not over. */
static const struct px_ban *next(const struct px_state *state, size_t *i, int64_t now_s)
{
    while (*i < state->ban_count) {
        const struct px_ban *ban = &state->bans[(*i)++];
        if (ban->until > now_s) {
            return ban;
        }
    }
    return NULL;
}

bool bans_differ(const struct bans *b, const struct px_state *state, int64_t now_s)
{
    if (!b->loaded) {
        return false;
    }
    struct px_state *wanted = cm_malloc(sizeof(*wanted));
    const struct px_ban *have, *want;
    size_t i = 0, j = 0;
    *wanted = *state;
    bans_fill(b, wanted, now_s);
    do {
        have = next(state, &i, now_s);
        want = next(wanted, &j, now_s);
    } while (have != NULL && want != NULL && have->until == want->until &&
             by_source(have, want) == 0);
    free(wanted);
    return have != NULL || want != NULL;
}

size_t bans_count(const struct bans *b, int64_t now_s)
{
    size_t n = 0;
    for (size_t i = 0; i < b->count; i++) {
        n += b->entries[i].ban.until > now_s;
    }
    return n;
}

/* ---- changing ---- */

static void on_changed(struct bans *b, const struct cm_err *err)
{
    if (err != NULL) {
        change_done(b, err);
    } else {
        b->changed = true;
        bans_read(b);
    }
}

static void on_added(const struct cm_pg_result *res, const struct cm_err *err,
                     void *ctx)
{
    struct cm_err full;
    if (res != NULL && strcmp(cm_pg_value(res, 0, 0), "banned") != 0) {
        (void)cm_err_set(&full, CM_ERR_REFUSE, "%d sources are banned, more cannot be",
                         PX_BANS_MAX);
        on_changed(ctx, &full);
        return;
    }
    on_changed(ctx, res != NULL ? NULL : err);
}

static void on_removed(const struct cm_pg_result *res, const struct cm_err *err,
                       void *ctx)
{
    struct cm_err none;
    if (res != NULL && cm_pg_rows(res) == 0) {
        (void)cm_err_set(&none, CM_ERR_REFUSE, "it is not banned");
        on_changed(ctx, &none);
        return;
    }
    on_changed(ctx, res != NULL ? NULL : err);
}

static bool begin(struct bans *b, bans_cb cb, void *ctx)
{
    if (b->change_cb != NULL) {
        struct cm_err err;
        (void)cm_err_set(&err, CM_ERR_RETRY, "another ban is just being changed");
        cb(&err, ctx);
        return false;
    }
    b->change_cb = cb;
    b->change_ctx = ctx;
    return true;
}

void bans_add(struct bans *b, const unsigned char source[CM_SOURCE_LEN],
              int64_t seconds, const char *reason, bans_cb cb, void *ctx)
{
    char text[CM_SOURCE_TEXT], number[24];
    const char *params[] = {text, number, reason};
    cm_source_text(source, true, text);
    snprintf(number, sizeof(number), "%" PRId64, seconds);
    if (begin(b, cb, ctx)) {
        cm_pg_query(b->pg, &add_stmt, params, 3, on_added, b);
    }
}

void bans_remove(struct bans *b, const unsigned char source[CM_SOURCE_LEN], bans_cb cb,
                 void *ctx)
{
    char text[CM_SOURCE_TEXT];
    const char *params[] = {text};
    cm_source_text(source, true, text);
    if (begin(b, cb, ctx)) {
        cm_pg_query(b->pg, &remove_stmt, params, 1, on_removed, b);
    }
}

/* ---- for people ---- */

char *bans_json(const struct bans *b, const struct px_state *state, int64_t now_s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < b->count; i++) {
        const struct entry *e = &b->entries[i];
        char text[CM_SOURCE_TEXT];
        if (e->ban.until > now_s) {
            cm_source_text(e->ban.source, true, text);
            json_array_append_new(list, json_pack("{s:s,s:s,s:I,s:I}", "source", text,
                                                  "reason", e->reason, "since",
                                                  (json_int_t)e->since, "until",
                                                  (json_int_t)e->ban.until));
        }
    }
    json_t *o = json_pack("{s:I,s:b,s:o}", "epoch", (json_int_t)state->epoch, "settled",
                          !bans_differ(b, state, now_s), "bans", list);
    cm_assert(o != NULL);
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}
