#include "ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/pg.h"

#define TEXT(x)  #x
#define VALUE(x) TEXT(x)

static const struct cm_pg_statement newest_stmt = {
    "newest", "select envelope from desired_state order by epoch desc limit 1"};
static const struct cm_pg_statement epoch_stmt = {"epoch",
                                                  "select nextval('desired_epoch')"};
static const struct cm_pg_statement insert_stmt = {
    "insert",
    "with i as (insert into desired_state(epoch, envelope) values ($1, $2)"
    " returning epoch), d as (delete from desired_state where epoch < $1::bigint"
    " - " VALUE(
        LEDGER_KEPT) ") select pg_notify('chatmail_state', epoch::text) from i"};
/* One row per pair that clashes with what the table says. */
static const struct cm_pg_statement claim_stmt = {
    "claim",
    "with w as (select * from unnest($1::int[], $2::text[]) as w(number, name)),"
    " i as (insert into gateway(number, name) select number, name from w"
    " on conflict do nothing)"
    " select w.number, g.name from w join gateway g using (number)"
    " where g.name <> w.name limit 1"};

struct publishing {
    bool busy;
    struct px_state wanted;
    enum ledger_part part;
    int64_t at_least;
    ledger_cb cb;
    void *ctx;
};

struct ledger {
    struct ledger_options options;
    struct cm_pg *pg;
    struct cm_timer *poll;
    char *told; /* envelope told last; NULL before the first */
    bool reading;
    struct publishing pub;
    struct publishing waits; /* busy: there is one */
    bool stopping;
};

static void read_newest(struct ledger *l);

static void on_newest(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    struct ledger *l = ctx;
    l->reading = false;
    cm_timer_set(l->poll, LEDGER_POLL_MS);
    if (res == NULL) {
        if (err->kind == CM_ERR_WORLD) {
            cm_log_err(CM_LOG_ERROR, "ledger_failed", err);
        }
        return;
    }
    const char *envelope = cm_pg_rows(res) > 0 ? cm_pg_value(res, 0, 0) : "";
    if (l->told != NULL && strcmp(l->told, envelope) == 0) {
        return;
    }
    free(l->told);
    l->told = cm_strdup(envelope);
    l->options.newest(l->told, l->options.ctx);
}

static void read_newest(struct ledger *l)
{
    if (!l->reading) {
        l->reading = true;
        cm_pg_query(l->pg, &newest_stmt, NULL, 0, on_newest, l);
    }
}

static void on_poll(void *ctx)
{
    read_newest(ctx);
}

static void on_notify(const char *payload, void *ctx)
{
    (void)payload;
    read_newest(ctx);
}

static void on_state(bool up, void *ctx)
{
    cm_log(CM_LOG_INFO, "database", "state", up ? "up" : "away", NULL);
    if (up) {
        read_newest(ctx);
    }
}

struct ledger *ledger_new(struct cm_loop *loop, const struct ledger_options *options)
{
    struct ledger *l = cm_calloc(1, sizeof(*l));
    l->options = *options;
    l->poll = cm_timer_new(loop, on_poll, l);
    struct cm_pg_options pg = {.conninfo = options->conninfo,
                               .connections = 2,
                               .listen_channel = "chatmail_state",
                               .on_notify = on_notify,
                               .on_state = on_state,
                               .ctx = l};
    l->pg = cm_pg_new(loop, &pg);
    cm_timer_set(l->poll, 0);
    return l;
}

void ledger_free(struct ledger **ledger)
{
    struct ledger *l = *ledger;
    if (l == NULL) {
        return;
    }
    l->stopping = true;
    cm_pg_free(&l->pg);
    cm_timer_free(&l->poll);
    free(l->told);
    free(l);
    *ledger = NULL;
}

/* Publishing: claim the numbers, read the newest, compare, take an epoch, sign, insert.
 */

static void begin(struct ledger *l);

static void finish(struct ledger *l, int64_t epoch, bool changed,
                   const struct cm_err *err)
{
    struct publishing done = {.cb = l->pub.cb, .ctx = l->pub.ctx};
    l->pub.busy = false;
    if (l->waits.busy && l->stopping) {
        l->waits.busy = false;
        l->waits.cb(0, false, err, l->waits.ctx);
    } else if (l->waits.busy) {
        l->pub = l->waits;
        l->waits.busy = false;
        begin(l);
    }
    done.cb(epoch, changed, err, done.ctx);
}

static void on_inserted(const struct cm_pg_result *res, const struct cm_err *err,
                        void *ctx)
{
    struct ledger *l = ctx;
    if (res == NULL) {
        finish(l, 0, false, err);
        return;
    }
    read_newest(l);
    finish(l, l->pub.wanted.epoch, true, NULL);
}

static void on_epoch(const struct cm_pg_result *res, const struct cm_err *err,
                     void *ctx)
{
    struct ledger *l = ctx;
    if (res == NULL) {
        finish(l, 0, false, err);
        return;
    }
    struct cm_err why;
    const char *epoch = cm_pg_value(res, 0, 0);
    if (cm_value_int(epoch, 1, INT64_MAX, &l->pub.wanted.epoch, &why) != 0) {
        finish(l, 0, false, &why);
        return;
    }
    char *number = cm_strdup(epoch), *envelope = NULL;
    char *document = px_state_dump(&l->pub.wanted);
    if (px_envelope_seal(l->options.secret_key, document, &envelope, &why) != 0) {
        finish(l, 0, false, &why);
    } else {
        const char *params[] = {number, envelope};
        cm_pg_query(l->pg, &insert_stmt, params, 2, on_inserted, l);
    }
    free(number);
    free(document);
    free(envelope);
}

static void copy_bans(struct px_state *to, const struct px_state *from)
{
    memcpy(to->bans, from->bans, sizeof(to->bans));
    to->ban_count = from->ban_count;
}

/* True when it says what is wanted. */
static bool says_the_same(struct ledger *l, struct px_state *newest)
{
    int64_t epoch = newest->epoch;
    newest->epoch = 0;
    l->pub.wanted.epoch = 0;
    char *a = px_state_dump(newest), *b = px_state_dump(&l->pub.wanted);
    bool same = epoch >= l->pub.at_least && strcmp(a, b) == 0;
    free(a);
    free(b);
    newest->epoch = epoch;
    return same;
}

/* newest: epoch 0 when there is none that is ours and genuine. */
static void compare(struct ledger *l, struct px_state *newest)
{
    struct px_state *wanted = &l->pub.wanted;
    struct cm_err err;
    if (l->pub.part == LEDGER_ALL) {
        copy_bans(wanted, newest);
    } else if (newest->epoch == 0) {
        (void)cm_err_set(&err, CM_ERR_REFUSE, "nothing has been published yet");
        finish(l, 0, false, &err);
        return;
    } else {
        struct px_state *bans = cm_malloc(sizeof(*bans));
        *bans = *wanted;
        *wanted = *newest;
        copy_bans(wanted, bans);
        free(bans);
    }
    if (newest->epoch != 0 && says_the_same(l, newest)) {
        finish(l, newest->epoch, false, NULL);
    } else {
        cm_pg_query(l->pg, &epoch_stmt, NULL, 0, on_epoch, l);
    }
}

static void on_compare(const struct cm_pg_result *res, const struct cm_err *err,
                       void *ctx)
{
    struct ledger *l = ctx;
    if (res == NULL) {
        finish(l, 0, false, err);
        return;
    }
    struct px_state *newest = cm_calloc(1, sizeof(*newest));
    const char *envelope = cm_pg_rows(res) > 0 ? cm_pg_value(res, 0, 0) : "";
    struct cm_err why;
    if (px_envelope_open(l->options.public_key, envelope, strlen(envelope), newest,
                         &why) != 0) {
        memset(newest, 0, sizeof(*newest));
    }
    compare(l, newest);
    free(newest);
}

static void on_claimed(const struct cm_pg_result *res, const struct cm_err *err,
                       void *ctx)
{
    struct ledger *l = ctx;
    if (res == NULL) {
        finish(l, 0, false, err);
    } else if (cm_pg_rows(res) > 0) {
        struct cm_err clash;
        cm_err_set(
            &clash, CM_ERR_REFUSE,
            "number %s belongs to gateway \"%s\"; give the new one a number that "
            "was never used",
            cm_pg_value(res, 0, 0), cm_pg_value(res, 0, 1));
        finish(l, 0, false, &clash);
    } else {
        cm_pg_query(l->pg, &newest_stmt, NULL, 0, on_compare, l);
    }
}

static void begin(struct ledger *l)
{
    const struct px_state *wanted = &l->pub.wanted;
    struct cm_buf numbers, names;
    cm_buf_init(&numbers, 4096);
    cm_buf_init(&names, 4096);
    for (size_t i = 0; i < wanted->gateway_count; i++) {
        /* Names are a-z 0-9 '-' (px_state_parse): nothing to quote. */
        cm_buf_fmt(&numbers, "%s%d", i ? "," : "{", wanted->gateways[i].number);
        cm_buf_fmt(&names, "%s%s", i ? "," : "{", wanted->gateways[i].name);
    }
    cm_buf_str(&numbers, wanted->gateway_count ? "}" : "{}");
    cm_buf_str(&names, wanted->gateway_count ? "}" : "{}");
    const char *params[] = {numbers.data, names.data};
    cm_pg_query(l->pg, &claim_stmt, params, 2, on_claimed, l);
    cm_buf_clear(&numbers);
    cm_buf_clear(&names);
}

void ledger_publish(struct ledger *l, const struct px_state *wanted,
                    enum ledger_part part, int64_t at_least, ledger_cb cb, void *ctx)
{
    struct publishing *pub = l->pub.busy ? &l->waits : &l->pub;
    if (pub->busy) {
        struct cm_err err;
        cm_err_set(&err, CM_ERR_RETRY, "another document is just being published");
        cb(0, false, &err, ctx);
        return;
    }
    *pub = (struct publishing){.busy = true,
                               .wanted = *wanted,
                               .part = part,
                               .at_least = at_least,
                               .cb = cb,
                               .ctx = ctx};
    if (pub == &l->pub) {
        begin(l);
    }
}
