#include "flush.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"

#include "login.h"

/* An address doubles at worst when it is quoted. */
#define ARRAY_MAX (FLUSH_BATCH * (2 * LOGIN_ADDR_MAX + 16) + 16)

static const struct cm_pg_statement write_days = {
    "write_days", "update account a set last_login = u.day"
                  " from (select addr, date '1970-01-01' + n as day"
                  " from unnest($1::text[], $2::integer[]) as x(addr, n)) as u"
                  " where a.addr = u.addr and a.last_login is distinct from u.day"};

struct flush {
    struct cm_pg *pg;
    struct days *days;
    struct cm_timer *timer;
    bool armed;
    bool failed;
    size_t flying; /* of batch; 0 when no statement is under way */
    struct days_item batch[FLUSH_BATCH];
    uint64_t told_dropped;
};

static void on_due(void *ctx);

struct flush *flush_new(struct cm_loop *loop, struct cm_pg *pg, struct days *days)
{
    struct flush *flush = cm_calloc(1, sizeof(*flush));
    flush->pg = pg;
    flush->days = days;
    flush->timer = cm_timer_new(loop, on_due, flush);
    return flush;
}

void flush_free(struct flush **flush)
{
    if (*flush == NULL) {
        return;
    }
    cm_assert((*flush)->flying == 0);
    cm_timer_free(&(*flush)->timer);
    free(*flush);
    *flush = NULL;
}

static void arm(struct flush *flush)
{
    if (!flush->armed && flush->flying == 0) {
        flush->armed = true;
        cm_timer_set(flush->timer, FLUSH_MS);
    }
}

static void tell_dropped(struct flush *flush)
{
    uint64_t dropped = days_dropped(flush->days);
    if (dropped == flush->told_dropped) {
        return;
    }
    char count[24];
    snprintf(count, sizeof(count), "%llu",
             (unsigned long long)(dropped - flush->told_dropped));
    cm_log(CM_LOG_ERROR, "logins_dropped", "count", count, "reason",
           "too many wait for the database", NULL);
    flush->told_dropped = dropped;
}

static void on_written(const struct cm_pg_result *res, const struct cm_err *err,
                       void *ctx)
{
    struct flush *flush = ctx;
    size_t n = flush->flying;
    flush->flying = 0;
    flush->failed = res == NULL;
    if (res != NULL) {
        days_written(flush->days, flush->batch, n);
    } else {
        cm_log_err(CM_LOG_WARNING, "flush_failed", err);
    }
    days_items_clear(flush->batch, n);
    tell_dropped(flush);
    if (days_count(flush->days) == 0) {
        return;
    }
    if (res != NULL && n == FLUSH_BATCH) {
        flush_now(flush);
    } else {
        arm(flush);
    }
}

static void add_item(struct cm_buf *addrs, struct cm_buf *days,
                     const struct days_item *item, const char *comma)
{
    cm_buf_fmt(addrs, "%s\"", comma);
    for (const char *c = item->addr; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            cm_buf_add(addrs, "\\", 1);
        }
        cm_buf_add(addrs, c, 1);
    }
    cm_buf_str(addrs, "\"");
    cm_buf_fmt(days, "%s%d", comma, (int)item->day);
}

void flush_now(struct flush *flush)
{
    if (flush->flying > 0) {
        return;
    }
    flush->armed = false;
    cm_timer_stop(flush->timer);
    flush->flying = days_oldest(flush->days, flush->batch, FLUSH_BATCH);
    if (flush->flying == 0) {
        return;
    }
    struct cm_buf addrs, days;
    cm_buf_init(&addrs, ARRAY_MAX);
    cm_buf_init(&days, ARRAY_MAX);
    for (size_t i = 0; i < flush->flying; i++) {
        add_item(&addrs, &days, &flush->batch[i], i == 0 ? "{" : ",");
    }
    cm_buf_str(&addrs, "}");
    cm_buf_str(&days, "}");
    cm_assert(!addrs.overflow && !days.overflow);
    const char *params[] = {addrs.data, days.data};
    cm_pg_query(flush->pg, &write_days, params, 2, on_written, flush);
    cm_buf_clear(&addrs);
    cm_buf_clear(&days);
}

static void on_due(void *ctx)
{
    struct flush *flush = ctx;
    flush->armed = false;
    flush_now(flush);
}

void flush_later(struct flush *flush)
{
    arm(flush);
}

bool flush_settled(const struct flush *flush)
{
    return flush->flying == 0 && (flush->failed || days_count(flush->days) == 0);
}
