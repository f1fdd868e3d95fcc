#include "pick.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_MAX 48

enum how { VALUE, MOST, SUM, RATE };

static const struct {
    const char *plot;
    const char *family;
    const char *label; /* tells series apart; NULL: one series */
    enum how how;      /* of samples that fall to the same series */
} table[] = {
    {"flows", "chatmail_gateway_flows", "gateway", VALUE},
    {"traffic", "chatmail_gateway_received_bytes_total", "gateway", RATE},
    {"traffic", "chatmail_gateway_sent_bytes_total", "gateway", RATE},
    {"latency", "chatmail_gateway_check_seconds", "gateway", MOST},
    {"queue", "chatmail_queue_messages", NULL, SUM},
    {"queue-age", "chatmail_queue_oldest_seconds", NULL, VALUE},
    {"mail", "chatmail_filter_messages_total", NULL, RATE},
    {"push", "chatmail_push_queue_length", NULL, SUM},
    {"push-age", "chatmail_push_oldest_age_seconds", NULL, MOST},
    {"push-sent", "chatmail_push_requests_total", NULL, RATE},
    {"accounts", "chatmail_accounts", "kind", VALUE},
    {"disk", "chatmail_monitor_disk_used_ratio", "path", VALUE},
};

#define ROWS (sizeof(table) / sizeof(table[0]))

/* ---- one line ---- */

/* Copies the value of label="..." between the braces; "" when it is not there. */
static void label_of(const char *at, const char *end, const char *label,
                     char out[LABEL_MAX])
{
    size_t n = strlen(label), used = 0;

    out[0] = '\0';
    for (const char *p = at; p + n + 2 < end; p++) {
        bool begins = p == at || p[-1] == ',' || p[-1] == '{';
        if (!begins || strncmp(p, label, n) != 0 || p[n] != '=' || p[n + 1] != '"') {
            continue;
        }
        for (p += n + 2; p < end && *p != '"' && used + 1 < LABEL_MAX; p++) {
            p += *p == '\\' && p + 1 < end;
            out[used++] = *p;
        }
        out[used] = '\0';
        return;
    }
}

static void take_line(const char *line, const char *end, const char *family,
                      const char *label, pick_cb cb, void *ctx)
{
    size_t n = strlen(family);
    char name[LABEL_MAX] = "", number[40], *stop;
    const char *brace = line + n, *close = brace;

    if ((size_t)(end - line) <= n || strncmp(line, family, n) != 0 ||
        (*brace != ' ' && *brace != '{')) {
        return;
    }
    if (*brace == '{') {
        /* A '}' within a label's value is followed by more than a number. */
        for (close = end; close > brace && *close != '}'; close--) {
        }
        if (label != NULL) {
            label_of(brace + 1, close, label, name);
        }
        close++;
    }
    snprintf(number, sizeof(number), "%.*s", (int)(end - close < 39 ? end - close : 39),
             close);
    double value = strtod(number, &stop);
    if (stop != number && isfinite(value)) {
        cb(name, value, ctx);
    }
}

void pick_each(const char *text, const char *family, const char *label, pick_cb cb,
               void *ctx)
{
    for (const char *p = text; *p != '\0';) {
        const char *end = p + strcspn(p, "\n");
        if (*p != '#') {
            take_line(p, end, family, label, cb, ctx);
        }
        p = *end != '\0' ? end + 1 : end;
    }
}

/* ---- all of them ---- */

struct gather {
    struct ring_sample *list;
    size_t count;
    const char *plot;
    enum how how;
};

static void gather_one(const char *label, double value, void *ctx)
{
    struct gather *g = ctx;
    struct ring_sample *s = NULL;
    char name[RING_NAME];

    snprintf(name, sizeof(name), "%.14s%s%s", g->plot, label[0] != '\0' ? ":" : "",
             label);
    for (size_t i = 0; i < g->count && s == NULL; i++) {
        s = strcmp(g->list[i].name, name) == 0 ? &g->list[i] : NULL;
    }
    if (s == NULL && g->count < PICK_MAX) {
        s = &g->list[g->count++];
        memcpy(s->name, name, sizeof(name));
        s->value = value;
    } else if (s != NULL) {
        s->value = g->how == MOST    ? (value > s->value ? value : s->value)
                   : g->how == VALUE ? value
                                     : s->value + value;
    }
}

static const double *before(const struct pick *pick, const char *name)
{
    for (size_t i = 0; i < pick->last_count; i++) {
        if (strcmp(pick->last[i].name, name) == 0) {
            return &pick->last[i].value;
        }
    }
    return NULL;
}

static size_t add_rates(struct pick *pick, const struct gather *now, int64_t now_ms,
                        struct ring_sample *out, size_t count)
{
    double seconds = (double)(now_ms - pick->last_ms) / 1000;

    for (size_t i = 0; i < now->count; i++) {
        const double *was = before(pick, now->list[i].name);
        if (was != NULL && seconds > 0 && now->list[i].value >= *was &&
            count < PICK_MAX) {
            out[count] = now->list[i];
            out[count++].value = (now->list[i].value - *was) / seconds;
        }
    }
    memcpy(pick->last, now->list, now->count * sizeof(now->list[0]));
    pick->last_count = now->count;
    pick->last_ms = now_ms;
    return count;
}

size_t pick_take(struct pick *pick, const char *text, int64_t now_ms,
                 struct ring_sample out[PICK_MAX])
{
    struct ring_sample counters[PICK_MAX];
    struct gather values = {.list = out}, rates = {.list = counters};

    for (size_t i = 0; i < ROWS; i++) {
        struct gather *g = table[i].how == RATE ? &rates : &values;
        g->plot = table[i].plot;
        g->how = table[i].how;
        pick_each(text, table[i].family, table[i].label, gather_one, g);
    }
    return add_rates(pick, &rates, now_ms, out, values.count);
}
