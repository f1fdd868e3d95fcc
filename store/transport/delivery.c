#include "delivery.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "egress.h"
#include "hosts.h"
#include "http.h"
#include "lru.h"
#include "smtp.h"

#define HEADER_MAX (ADDRESS_MAX + 16)
#define BODY_KEEP  256 /* of an HTTP answer: enough for its reason */

struct delivery {
    struct env *env;
    struct delivery_job job;
    struct delivery_hooks hooks;
    struct route route;
    struct route_lookup *lookup;
    struct http_request *http;
    struct smtp *smtp;
    struct cm_timer *turn, *limit;
    int64_t begun_ms;
    struct egress egress;
    int failed_egress; /* number of the gateway that was tried in vain; -1: none */
    bool begun;        /* with the first host */
    bool connected;
    size_t host;
    enum path path;
    char last[700]; /* why the host before could not be used */
    char **replies;
};

static void next_host(struct delivery *d);

static const struct route_host *host_now(const struct delivery *d)
{
    return &d->route.hosts[d->host];
}

/* literal and "_" names: self-signed by definition (relay-spec.md 2.9.9 steps 1, 2) */
static bool verified(const struct delivery *d)
{
    return !d->job.domain.literal && d->job.domain.name[0] != '_';
}

/* The end */

void delivery_cancel(struct delivery **dp)
{
    struct delivery *d = *dp;
    if (d == NULL) {
        return;
    }
    route_cancel(&d->lookup);
    http_cancel(&d->http);
    smtp_cancel(&d->smtp);
    cm_timer_free(&d->turn);
    cm_timer_free(&d->limit);
    for (size_t i = 0; i < d->job.to_count; i++) {
        free(d->replies[i]);
    }
    free(d->replies);
    free(d);
    *dp = NULL;
}

bool delivery_connected(const struct delivery *d)
{
    return d->connected || (d->smtp != NULL && smtp_spoken(d->smtp));
}

static enum verdict verdict_of(const char *reply)
{
    return reply[0] == '2'   ? VERDICT_OK
           : reply[0] == '5' ? VERDICT_REFUSED
                             : VERDICT_DEFERRED;
}

static void account(struct delivery *d, int64_t ms)
{
    static const char *const paths[] = {"https", "smtp", "none"};
    struct counters *c = &d->env->counters;
    size_t by[VERDICT_COUNT] = {0};
    char ok[16], refused[16], deferred[16], took[24];
    for (size_t i = 0; i < d->job.to_count; i++) {
        by[verdict_of(d->replies[i])]++;
    }
    for (size_t v = 0; v < VERDICT_COUNT; v++) {
        c->recipients[d->path][v] += by[v];
    }
    c->deliveries[d->path]++;
    c->milliseconds[d->path] += (uint64_t)ms;
    snprintf(ok, sizeof(ok), "%zu", by[VERDICT_OK]);
    snprintf(refused, sizeof(refused), "%zu", by[VERDICT_REFUSED]);
    snprintf(deferred, sizeof(deferred), "%zu", by[VERDICT_DEFERRED]);
    snprintf(took, sizeof(took), "%" PRId64, ms);
    cm_log(CM_LOG_INFO, "delivery", "destination", d->job.domain.name, "path",
           paths[d->path], "ok", ok, "refused", refused, "deferred", deferred, "ms",
           took, NULL);
}

/* The gateway that worked is taken again; the one that did not makes room for another
 * at the next attempt. */
static void remember_egress(struct delivery *d, int number)
{
    if (d->egress.number == 0) {
        return;
    }
    struct dest_mark *mark = lru_put(d->env->dest_marks, d->job.domain.name);
    d->env->counters.egress_changed += mark->egress != 0 && mark->egress != number;
    mark->egress = number;
    mark->egress_ms = cm_now_mono_ms();
}

static void finish(struct delivery *d, enum delivery_reach reach)
{
    struct delivery_result result = {.reach = reach, .replies = d->replies};
    if (reach == DELIVERY_REACHED) {
        remember_egress(d, d->egress.number);
    }
    account(d, cm_now_mono_ms() - d->begun_ms);
    d->hooks.done(&result, d->hooks.ctx);
    delivery_cancel(&d);
}

static void finish_all(struct delivery *d, enum delivery_reach reach, const char *fmt,
                       ...) CM_PRINTF(3, 4);

static void finish_all(struct delivery *d, enum delivery_reach reach, const char *fmt,
                       ...)
{
    char text[SMTP_REPLY_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < d->job.to_count; i++) {
        free(d->replies[i]);
        d->replies[i] = cm_strdup(text);
    }
    finish(d, reach);
}

static void on_limit(void *ctx)
{
    struct delivery *d = ctx;
    finish_all(d, DELIVERY_UNREACHED, "451 4.4.2 Gave up after %d s",
               DELIVERY_LIMIT_MS / 1000);
}

/* What is known of a host */

static bool smtp_only(struct delivery *d)
{
    const struct host_mark *mark = lru_get(d->env->host_marks, host_now(d)->name);
    return mark != NULL && mark->smtp_only_ms > cm_now_mono_ms();
}

static void mark_smtp_only(struct delivery *d)
{
    struct host_mark *mark = lru_put(d->env->host_marks, host_now(d)->name);
    mark->smtp_only_ms = cm_now_mono_ms() + DELIVERY_MARK_MS;
}

/* SMTP */

static void on_smtp(const struct smtp_result *result, const struct cm_err *err,
                    void *ctx)
{
    struct delivery *d = ctx;
    d->smtp = NULL;
    d->path = PATH_SMTP;
    if (result->end == SMTP_ANSWERED) {
        for (size_t i = 0; i < d->job.to_count; i++) {
            d->replies[i] = cm_strdup(result->replies[i]);
        }
        finish(d, DELIVERY_REACHED);
        return;
    }
    if (result->end == SMTP_UNCERTAIN) {
        /* Another host now would surely double what was perhaps taken. */
        finish_all(d, DELIVERY_UNREACHED,
                   "451 4.4.2 Lost the connection behind the message: %s (while "
                   "attempting delivery to %s)",
                   err->text, host_now(d)->name);
        return;
    }
    d->connected = d->connected || result->connected;
    lru_drop(d->env->host_marks, host_now(d)->name);
    d->env->counters.connect_failed++;
    snprintf(d->last, sizeof(d->last), "%s: %.400s", host_now(d)->name, err->text);
    d->host++;
    cm_timer_set(d->turn, 0);
}

static void try_smtp(struct delivery *d)
{
    const struct route_host *h = host_now(d);
    bool clear = !d->job.domain.literal && strcmp(d->job.domain.name, "nauta.cu") == 0;
    struct smtp_options o = {.loop = d->env->loop,
                             .tls = clear ? NULL : d->env->tls,
                             .pool = d->env->pool,
                             .counts = &d->env->counters.smtp,
                             .verify = verified(d),
                             .host = h->name,
                             .port = d->env->smtp_port,
                             .addresses = h->addresses,
                             .address_count = h->address_count,
                             .source = &d->egress.source,
                             .ehlo = d->egress.ehlo[0] != '\0' ? d->egress.ehlo
                                                               : d->env->ehlo,
                             .from = d->job.from,
                             .to = d->job.to,
                             .to_count = d->job.to_count,
                             .message = d->job.message};
    d->smtp = smtp_start(&o, on_smtp, d);
}

/* HTTPS */

static int64_t give_body(uint64_t offset, char *out, size_t size, void *ctx)
{
    struct delivery *d = ctx;
    d->connected = true;
    return spool_read(d->job.message, offset, out, size);
}

/* 400 and 413 are answers of a /mxdeliv about this one message. */
static bool speaks_mxdeliv(int status)
{
    return status == 400 || status == 413;
}

static void on_http(const struct http_result *result, const struct cm_err *err,
                    void *ctx)
{
    struct delivery *d = ctx;
    d->http = NULL;
    if (result->status / 100 == 2) {
        d->path = PATH_HTTPS;
        finish_all(d, DELIVERY_REACHED, "250 OK (HTTPS)");
        return;
    }
    char status[24];
    snprintf(status, sizeof(status), "%d", result->status);
    cm_log(CM_LOG_INFO, "https_failed", "host", host_now(d)->name, "status", status,
           "reason", result->status == 0 ? err->text : NULL, NULL);
    d->env->counters.https_failed++;
    d->connected = d->connected || result->connected || result->status != 0;
    if (!speaks_mxdeliv(result->status)) {
        mark_smtp_only(d);
    }
    try_smtp(d);
}

static void try_https(struct delivery *d)
{
    const struct route_host *h = host_now(d);
    const char **headers = cm_calloc(d->job.to_count + 2, sizeof(*headers));
    char(*lines)[HEADER_MAX] = cm_calloc(d->job.to_count + 1, sizeof(*lines));
    size_t n = 0;
    if (d->job.from[0] != '\0') {
        snprintf(lines[n], HEADER_MAX, "X-MAIL-FROM: %s", d->job.from);
        headers[n] = lines[n];
        n++;
    }
    for (size_t i = 0; i < d->job.to_count; i++, n++) {
        snprintf(lines[n], HEADER_MAX, "X-MAIL-TO: %s", d->job.to[i]);
        headers[n] = lines[n];
    }
    uint64_t size = spool_size(d->job.message);
    struct http_options o = {.host = h->name,
                             .port = d->env->https_port,
                             .path = "/mxdeliv",
                             .addresses = h->addresses,
                             .address_count = h->address_count,
                             .source = &d->egress.source,
                             .verify = verified(d),
                             .fresh = d->failed_egress >= 0,
                             .headers = headers,
                             .body = give_body,
                             .body_len = size,
                             .response_max = BODY_KEEP,
                             .connect_ms = DELIVERY_HTTPS_TRY_MS,
                             .total_ms =
                                 DELIVERY_HTTPS_MS +
                                 (int64_t)(size / DELIVERY_HTTPS_BYTES_S) * 1000};
    d->http = http_start(d->env->http, &o, on_http, d);
    free(lines);
    free(headers);
}

/* Hosts and gateways */

static bool choose_egress(struct delivery *d)
{
    const struct egress_list *list = egress_now(d->env->egress);
    const struct dest_mark *mark = lru_get(d->env->dest_marks, d->job.domain.name);
    bool known = mark != NULL && mark->egress_ms > 0 &&
                 cm_now_mono_ms() - mark->egress_ms < BREAKER_MEMORY_MS;
    size_t i = egress_choose(list, known ? mark->egress : -1, d->job.domain.name);
    if (i == SIZE_MAX) {
        return false;
    }
    d->egress = list->items[i];
    return true;
}

/* It was healthy when it was chosen: what broke then was the gateway, not the host. */
static bool egress_is_gone(const struct delivery *d)
{
    const struct egress_list *list = egress_now(d->env->egress);
    size_t i = egress_find(list, d->egress.number);
    return d->egress.number != 0 && i != SIZE_MAX &&
           list->items[i].number != d->egress.number;
}

/* The gateway behind the one that failed; false when there is no other. */
static bool another_egress(struct delivery *d)
{
    const struct egress_list *list = egress_now(d->env->egress);
    size_t i = egress_find(list, d->egress.number);
    if (d->egress.number == 0 || i == SIZE_MAX) {
        return false;
    }
    const struct egress *next =
        &list->items[egress_is_gone(d) ? i : (i + 1) % list->count];
    if (next->number == d->egress.number) {
        return false;
    }
    d->failed_egress = d->egress.number;
    d->egress = *next;
    return true;
}

static void out_of_hosts(struct delivery *d)
{
    bool first = d->failed_egress < 0;
    if ((!d->connected || egress_is_gone(d)) && another_egress(d)) {
        remember_egress(d, d->egress.number);
        if (first && cm_now_mono_ms() - d->begun_ms < DELIVERY_HOSTS_MS) {
            d->host = 0;
            next_host(d);
            return;
        }
    }
    d->path = PATH_NONE;
    finish_all(d, DELIVERY_UNREACHED,
               "421 Failed to connect to any mail server; last attempt to %s", d->last);
}

static void next_host(struct delivery *d)
{
    while (d->host < d->route.host_count &&
           !hosts_usable(host_now(d)->addresses, host_now(d)->address_count,
                         &d->egress.source)) {
        snprintf(d->last, sizeof(d->last), "%s: no address of a family that can leave",
                 host_now(d)->name);
        d->host++;
    }
    if (d->host == d->route.host_count ||
        cm_now_mono_ms() - d->begun_ms > DELIVERY_HOSTS_MS) {
        out_of_hosts(d);
    } else if (smtp_only(d)) {
        try_smtp(d);
    } else {
        try_https(d);
    }
}

static void begin(struct delivery *d)
{
    d->begun = true;
    if (!choose_egress(d)) {
        finish_all(d, DELIVERY_NO_ROUTE,
                   "451 4.4.1 No gateway carries outgoing mail at present");
        return;
    }
    next_host(d);
}

static void on_route(const struct route *route, void *ctx)
{
    struct delivery *d = ctx;
    d->lookup = NULL;
    d->route = *route;
    d->hooks.routed(route, d->hooks.ctx);
    if (route->host_count == 0) {
        finish_all(d, route->refused ? DELIVERY_NOWHERE : DELIVERY_NO_ROUTE, "%s",
                   route->reply);
        return;
    }
    begin(d);
}

static void on_turn(void *ctx)
{
    struct delivery *d = ctx;
    if (d->begun) {
        next_host(d);
    } else {
        begin(d);
    }
}

struct delivery *delivery_start(struct env *env, const struct delivery_job *job,
                                const struct delivery_hooks *hooks)
{
    struct delivery *d = cm_calloc(1, sizeof(*d));
    d->env = env;
    d->job = *job;
    d->hooks = *hooks;
    d->begun_ms = cm_now_mono_ms();
    d->failed_egress = -1;
    d->path = PATH_NONE;
    d->replies = cm_calloc(job->to_count, sizeof(*d->replies));
    d->limit = cm_timer_new(env->loop, on_limit, d);
    cm_timer_set(d->limit, DELIVERY_LIMIT_MS);
    d->turn = cm_timer_new(env->loop, on_turn, d);
    if (job->route != NULL) {
        d->route = *job->route;
        cm_timer_set(d->turn, 0);
    } else {
        d->lookup = route_find(env, &job->domain, on_route, d);
    }
    return d;
}
