#include "accounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/loop.h"
#include "common/mem.h"
#include "common/pg.h"

#define CONNECT_MS  5000
#define DEADLINE_MS 120000
#define SEEN        "account_seen(last_login, created_at)"
#define EPOCH(what) "coalesce(floor(extract(epoch from " what "))::bigint, -1)"
#define LIMIT       " limit 256" /* ACCOUNTS_BATCH */

struct accounts {
    struct cm_loop *loop;
    struct cm_pg *pg;
};

const int64_t accounts_days[ACCOUNTS_DAYS] = {1, 10, 30, 40, 80, 100, 150};

/* clang-format off */
static const struct cm_pg_statement facts_sql = {
    "facts",
    "select count(*), count(*) filter (where " SEEN " < to_timestamp($1)), "
    EPOCH("max(last_login)::timestamp at time zone 'UTC'") ", "
    EPOCH("max(created_at)") ", " EPOCH("min(created_at)") ", "
    EPOCH("max(created_at) filter "
          "(where created_at < to_timestamp($2) - interval '1 day')")
    " from account"};
/* clang-format on */
static const struct cm_pg_statement look_sql = {
    "look",
    "select addr, " EPOCH(SEEN) " from account "
                                "where addr = any (string_to_array($1, chr(10)))"};
static const struct cm_pg_statement inactive_sql = {
    "inactive", "select addr from account where addr > $1 and " SEEN
                " < to_timestamp($2) order by addr" LIMIT};
static const struct cm_pg_statement mark_sql = {
    "mark", "select expire_mark($1, to_timestamp($2), 256)"};
static const struct cm_pg_statement used_sql = {"used", "select expire_used($1, $2)"};
static const struct cm_pg_statement marked_sql = {
    "marked", "select addr from account_removal where addr > $1 order by addr" LIMIT};
static const struct cm_pg_statement release_sql = {
    "release", "delete from account_removal "
               "where addr = any (string_to_array($1, chr(10)))"};
static const struct cm_pg_statement activity_sql = {
    "activity",
    "with a as (select addr, " SEEN " as seen, to_timestamp($1) as at from account) "
    "select count(*), count(*) filter (where addr like 'ci-%'), "
    "count(*) filter (where addr ~ '^(ci-|ac_)'), "
    "count(*) filter (where addr not like 'ci-%' and seen >= at - interval '1 day'), "
    "count(*) filter (where addr not like 'ci-%' and seen >= at - interval '10 day'), "
    "count(*) filter (where addr not like 'ci-%' and seen >= at - interval '30 day'), "
    "count(*) filter (where addr not like 'ci-%' and seen >= at - interval '40 day'), "
    "count(*) filter (where addr not like 'ci-%' and seen >= at - interval '80 day'), "
    "count(*) filter (where addr not like 'ci-%' and seen >= at - interval '100 day'), "
    "count(*) filter (where addr not like 'ci-%' and seen >= at - interval '150 day') "
    "from a"};

/* One question: take() reads the rows while they last. */

typedef void take_fn(const struct cm_pg_result *res, void *out);

struct question {
    take_fn *take;
    void *out;
    struct cm_err err;
    bool answered;
};

static void on_answer(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    struct question *question = ctx;
    if (res != NULL && question->take != NULL) {
        question->take(res, question->out);
    }
    question->err = *err;
    question->answered = true;
}

static int ask(struct accounts *accounts, const struct cm_pg_statement *stmt,
               const char *const *params, int n, take_fn *take, void *out,
               struct cm_err *err)
{
    struct question question = {.take = take, .out = out};
    cm_pg_query(accounts->pg, stmt, params, n, on_answer, &question);
    while (!question.answered) {
        cm_loop_once(accounts->loop, 1000);
    }
    if (question.err.kind != CM_ERR_NONE) {
        *err = question.err;
        return -1;
    }
    return 0;
}

static int64_t cell(const struct cm_pg_result *res, int column)
{
    const char *text = cm_pg_value(res, 0, column);
    return text != NULL ? strtoll(text, NULL, 10) : -1;
}

struct when {
    char text[24];
};

static struct when when(int64_t t)
{
    struct when w;
    snprintf(w.text, sizeof(w.text), "%lld", (long long)t);
    return w;
}

struct accounts *accounts_open(const char *conninfo, struct cm_err *err)
{
    struct accounts *accounts = cm_calloc(1, sizeof(*accounts));
    accounts->loop = cm_loop_new();
    struct cm_pg_options options = {
        .conninfo = conninfo, .connections = 1, .deadline_ms = DEADLINE_MS};
    accounts->pg = cm_pg_new(accounts->loop, &options);
    int64_t start = cm_now_mono_ms();
    while (!cm_pg_up(accounts->pg) && cm_now_mono_ms() - start < CONNECT_MS) {
        cm_loop_once(accounts->loop, 100);
    }
    if (!cm_pg_up(accounts->pg)) {
        (void)cm_err_set(err, CM_ERR_RETRY, "PostgreSQL is away: %s",
                         cm_pg_last_error(accounts->pg));
        accounts_close(&accounts);
    }
    return accounts;
}

void accounts_close(struct accounts **accounts)
{
    if (*accounts == NULL) {
        return;
    }
    cm_pg_free(&(*accounts)->pg);
    cm_loop_free(&(*accounts)->loop);
    free(*accounts);
    *accounts = NULL;
}

static void take_facts(const struct cm_pg_result *res, void *out)
{
    struct guard_facts *facts = out;
    facts->accounts = cell(res, 0);
    facts->inactive = cell(res, 1);
    facts->newest_login = cell(res, 2);
    facts->newest_creation = cell(res, 3);
    facts->oldest_creation = cell(res, 4);
    facts->settled_creation = cell(res, 5);
}

int accounts_facts(struct accounts *accounts, int64_t before, int64_t now,
                   struct guard_facts *facts_r, struct cm_err *err)
{
    struct when w = when(before), n = when(now);
    const char *params[] = {w.text, n.text};
    return ask(accounts, &facts_sql, params, 2, take_facts, facts_r, err);
}

struct look {
    struct crew_job *jobs;
    size_t count;
};

static int by_mailbox(const void *a, const void *b)
{
    const struct crew_job *x = a, *y = b;
    return strcmp(x->mailbox, y->mailbox);
}

static void take_seen(const struct cm_pg_result *res, void *out)
{
    struct look *look = out;
    for (int i = 0; i < cm_pg_rows(res); i++) {
        struct crew_job key;
        snprintf(key.mailbox, sizeof(key.mailbox), "%s", cm_pg_value(res, i, 0));
        struct crew_job *job =
            bsearch(&key, look->jobs, look->count, sizeof(key), by_mailbox);
        if (job != NULL) {
            job->state = ACCOUNT_FOUND;
            job->seen = strtoll(cm_pg_value(res, i, 1), NULL, 10);
        }
    }
}

int accounts_look(struct accounts *accounts, struct crew_job *jobs, size_t n,
                  struct cm_err *err)
{
    struct look look = {.jobs = jobs, .count = n};
    struct cm_buf names;
    cm_assert(n <= ACCOUNTS_BATCH);
    qsort(jobs, n, sizeof(jobs[0]), by_mailbox);
    cm_buf_init(&names, ACCOUNTS_BATCH * sizeof(jobs[0].mailbox));
    for (size_t i = 0; i < n; i++) {
        jobs[i].state = ACCOUNT_NONE;
        cm_buf_fmt(&names, "%s%s", i > 0 ? "\n" : "", jobs[i].mailbox);
    }
    const char *params[] = {names.data};
    int rc = ask(accounts, &look_sql, params, 1, take_seen, &look, err);
    for (size_t i = 0; rc != 0 && i < n; i++) {
        jobs[i].state = ACCOUNT_UNKNOWN;
    }
    cm_buf_clear(&names);
    return rc;
}

void addr_batch_clear(struct addr_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        free(batch->addrs[i]);
    }
    batch->count = 0;
}

static void take_addrs(const struct cm_pg_result *res, void *out)
{
    struct addr_batch *batch = out;
    for (int i = 0; i < cm_pg_rows(res) && batch->count < ACCOUNTS_BATCH; i++) {
        batch->addrs[batch->count++] = cm_strdup(cm_pg_value(res, i, 0));
    }
}

static int ask_addrs(struct accounts *accounts, const struct cm_pg_statement *stmt,
                     const char *const *params, int n, struct addr_batch *batch_r,
                     struct cm_err *err)
{
    struct addr_batch batch = {.count = 0};
    if (ask(accounts, stmt, params, n, take_addrs, &batch, err) != 0) {
        return -1;
    }
    *batch_r = batch;
    return 0;
}

int accounts_inactive(struct accounts *accounts, const char *after, int64_t before,
                      struct addr_batch *batch_r, struct cm_err *err)
{
    struct when w = when(before);
    const char *params[] = {after, w.text};
    return ask_addrs(accounts, &inactive_sql, params, 2, batch_r, err);
}

int accounts_mark(struct accounts *accounts, const char *after, int64_t before,
                  struct addr_batch *batch_r, struct cm_err *err)
{
    struct when w = when(before);
    const char *params[] = {after, w.text};
    return ask_addrs(accounts, &mark_sql, params, 2, batch_r, err);
}

int accounts_marked(struct accounts *accounts, const char *after,
                    struct addr_batch *batch_r, struct cm_err *err)
{
    const char *params[] = {after};
    return ask_addrs(accounts, &marked_sql, params, 1, batch_r, err);
}

/* One a line. */
static void list_addrs(const struct addr_batch *batch, struct cm_buf *names_r)
{
    cm_buf_init(names_r, ACCOUNTS_BATCH * 1024);
    for (size_t i = 0; i < batch->count; i++) {
        cm_buf_fmt(names_r, "%s%s", i > 0 ? "\n" : "", batch->addrs[i]);
    }
}

int accounts_used(struct accounts *accounts, const struct addr_batch *batch,
                  const int64_t days[ACCOUNTS_BATCH], struct cm_err *err)
{
    struct cm_buf names, times;
    list_addrs(batch, &names);
    cm_buf_init(&times, ACCOUNTS_BATCH * sizeof(struct when));
    for (size_t i = 0; i < batch->count; i++) {
        cm_buf_fmt(&times, "%s%s", i > 0 ? "\n" : "", when(days[i]).text);
    }
    const char *params[] = {names.data, times.data};
    int rc = names.overflow
                 ? cm_err_set(err, CM_ERR_WORLD, "table account: long addresses")
                 : ask(accounts, &used_sql, params, 2, NULL, NULL, err);
    cm_buf_clear(&names);
    cm_buf_clear(&times);
    return rc;
}

int accounts_release(struct accounts *accounts, const struct addr_batch *batch,
                     struct cm_err *err)
{
    struct cm_buf names;
    list_addrs(batch, &names);
    const char *params[] = {names.data};
    int rc = names.overflow ? cm_err_set(err, CM_ERR_WORLD,
                                         "table account_removal: long addresses")
                            : ask(accounts, &release_sql, params, 1, NULL, NULL, err);
    cm_buf_clear(&names);
    return rc;
}

static void take_activity(const struct cm_pg_result *res, void *out)
{
    struct accounts_activity *activity = out;
    activity->all = cell(res, 0);
    activity->ci = cell(res, 1);
    activity->ci_old = cell(res, 2);
    for (int i = 0; i < ACCOUNTS_DAYS; i++) {
        activity->active[i] = cell(res, 3 + i);
    }
}

int accounts_activity(struct accounts *accounts, int64_t now,
                      struct accounts_activity *activity_r, struct cm_err *err)
{
    struct when w = when(now);
    const char *params[] = {w.text};
    return ask(accounts, &activity_sql, params, 1, take_activity, activity_r, err);
}
