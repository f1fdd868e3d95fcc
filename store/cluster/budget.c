#include "budget.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/log.h"
#include "common/mem.h"

/* Far over any budget, far below what overflows. */
#define BYTES_MAX (INT64_C(1) << 60)

/* Gateways that went: their months stay for two years. */
static const struct cm_pg_statement load_stmt = {
    "traffic_load",
    "select distinct on (name) name, to_char(month, 'YYYY-MM'), bytes, counter, boot"
    " from gateway_traffic order by name, month desc"};
static const struct cm_pg_statement save_stmt = {
    "traffic_save",
    "with old as (delete from gateway_traffic where month < $2::date - 730)"
    " insert into gateway_traffic(name, month, bytes, counter, boot)"
    " values ($1, $2::date, $3, $4, $5) on conflict (name, month) do update"
    " set bytes = excluded.bytes, counter = excluded.counter, boot = excluded.boot"};

#define ROWS_MAX 256 /* names that ever were; the table has few more */

struct budget {
    struct cm_pg *pg;
    struct cm_timer *timer;
    bool loaded;
    struct budget_row rows[ROWS_MAX];
    size_t count;
};

/* ---- counting ---- */

void budget_month(int64_t now_ms, char out[8])
{
    time_t t = (time_t)(now_ms / 1000);
    struct tm tm;
    gmtime_r(&t, &tm);
    if (strftime(out, 8, "%Y-%m", &tm) != 7) {
        snprintf(out, 8, "9999-12");
    }
}

void budget_add(struct budget_row *row, const struct px_counts *counts,
                const char month[8])
{
    int64_t now = counts->uplink_bytes, more = 0;
    if (row->boot[0] != '\0') {
        bool same = strcmp(row->boot, counts->boot) == 0 && now >= row->counter;
        more = same ? now - row->counter : now;
    }
    if (strcmp(row->month, month) != 0) {
        memcpy(row->month, month, sizeof(row->month));
        row->bytes = 0;
        row->dirty = true;
    }
    row->dirty = row->dirty || more > 0 || row->boot[0] == '\0';
    row->bytes = more > BYTES_MAX - row->bytes ? BYTES_MAX : row->bytes + more;
    row->counter = now;
    snprintf(row->boot, sizeof(row->boot), "%s", counts->boot);
}

static struct budget_row *find(const struct budget *b, const char *name)
{
    for (size_t i = 0; i < b->count; i++) {
        if (strcmp(b->rows[i].name, name) == 0) {
            return (struct budget_row *)(uintptr_t)&b->rows[i];
        }
    }
    return NULL;
}

static struct budget_row *find_or_add(struct budget *b, const char *name)
{
    struct budget_row *row = find(b, name);
    if (row == NULL && b->count < ROWS_MAX) {
        row = &b->rows[b->count++];
        *row = (struct budget_row){.bytes = 0};
        snprintf(row->name, sizeof(row->name), "%s", name);
    }
    return row;
}

void budget_report(struct budget *b, const struct px_report *report, int64_t now_ms)
{
    char month[8];
    struct budget_row *row;
    if (!b->loaded || report->counts.uplink_bytes < 0 ||
        report->counts.boot[0] == '\0' ||
        (row = find_or_add(b, report->name)) == NULL) {
        return;
    }
    budget_month(now_ms, month);
    budget_add(row, &report->counts, month);
}

int64_t budget_bytes(const struct budget *b, const char *name, int64_t now_ms)
{
    const struct budget_row *row = find(b, name);
    char month[8];
    budget_month(now_ms, month);
    if (row == NULL) {
        return -1;
    }
    return strcmp(row->month, month) == 0 ? row->bytes : 0;
}

/* ---- the table ---- */

static void on_saved(const struct cm_pg_result *res, const struct cm_err *err,
                     void *ctx)
{
    (void)ctx;
    if (res == NULL && err->kind == CM_ERR_WORLD) {
        cm_log_err(CM_LOG_ERROR, "traffic_failed", err);
    }
}

/* A row that could not be written is behind by so much, and right again with the next:
 * the sum is written, not what came. */
void budget_write(struct budget *b)
{
    for (size_t i = 0; i < b->count; i++) {
        struct budget_row *row = &b->rows[i];
        char day[16], bytes[24], counter[24];
        const char *params[] = {row->name, day, bytes, counter, row->boot};
        if (!row->dirty) {
            continue;
        }
        row->dirty = false;
        snprintf(day, sizeof(day), "%s-01", row->month);
        snprintf(bytes, sizeof(bytes), "%" PRId64, row->bytes);
        snprintf(counter, sizeof(counter), "%" PRId64, row->counter);
        cm_pg_query(b->pg, &save_stmt, params, 5, on_saved, NULL);
    }
}

static void take_row(struct budget *b, const struct cm_pg_result *res, int i)
{
    struct cm_err err;
    struct budget_row *row = find_or_add(b, cm_pg_value(res, i, 0));
    if (row == NULL) {
        return;
    }
    snprintf(row->month, sizeof(row->month), "%s", cm_pg_value(res, i, 1));
    snprintf(row->boot, sizeof(row->boot), "%s", cm_pg_value(res, i, 4));
    if (cm_value_int(cm_pg_value(res, i, 2), 0, INT64_MAX, &row->bytes, &err) != 0 ||
        cm_value_int(cm_pg_value(res, i, 3), 0, INT64_MAX, &row->counter, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "traffic_unreadable", &err);
    }
}

static void on_loaded(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    struct budget *b = ctx;
    if (res == NULL) {
        if (err->kind == CM_ERR_WORLD) {
            cm_log_err(CM_LOG_ERROR, "traffic_failed", err);
        }
        cm_timer_set(b->timer, 2000);
        return;
    }
    for (int i = 0; i < cm_pg_rows(res); i++) {
        take_row(b, res, i);
    }
    b->loaded = true;
    cm_timer_set(b->timer, BUDGET_WRITE_MS);
}

static void on_timer(void *ctx)
{
    struct budget *b = ctx;
    if (!b->loaded) {
        cm_pg_query(b->pg, &load_stmt, NULL, 0, on_loaded, b);
        return;
    }
    budget_write(b);
    cm_timer_set(b->timer, BUDGET_WRITE_MS);
}

struct budget *budget_new(struct cm_loop *loop, struct cm_pg *pg)
{
    struct budget *b = cm_calloc(1, sizeof(*b));
    b->pg = pg;
    b->timer = cm_timer_new(loop, on_timer, b);
    cm_timer_set(b->timer, 0);
    return b;
}

void budget_free(struct budget **budget)
{
    if (*budget == NULL) {
        return;
    }
    cm_timer_free(&(*budget)->timer);
    free(*budget);
    *budget = NULL;
}
