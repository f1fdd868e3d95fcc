/* chatmail-lastlogin: the day of each account's last IMAP login, for Dovecot.
 *
 * One socket, held by systemd:
 *   dict  Dovecot's last_login plugin sets shared/last-login/ADDRESS to the time of a
 *         login here, once per login (Dovecot's dict protocol).
 * Only the UTC day is kept, in account.last_login. A commit is answered before anything
 * is written, so no login ever waits for the database; the days gather in memory, one
 * per address, and are written together every two seconds (flush.h).
 *
 * It trusts whoever may open the socket (its mode is set by systemd).
 *
 * PostgreSQL away: the days wait in memory, for at most 65536 addresses; after that the
 * oldest are dropped, and counted in the log. Killed with SIGKILL: the logins of the
 * last two seconds are not known, until the next login of the same day.
 *
 * SIGTERM: no new connections, what waits is written, at most 3 s. */
#include <stdio.h>
#include <stdlib.h>

#include "common/dict.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/pg.h"
#include "common/service.h"

#include "days.h"
#include "flush.h"
#include "login.h"

#define WAITING_MAX    65536
#define DRAIN_LIMIT_MS 3000
/* A connection that says nothing for so long is not waited for. */
#define DRAIN_IDLE_MS 200

struct lastlogin {
    const char *conninfo;
    struct cm_loop *loop;
    struct cm_pg *pg;
    struct cm_dict *dict;
    struct days *days;
    struct flush *flush;
    uint64_t logins;  /* taken */
    uint64_t refused; /* transactions */
    bool last_flush;
};

/* All or nothing, and answered at once. */
static void on_commit(struct cm_dict_req *req, const struct cm_dict_op *ops, size_t n,
                      const char *user, void *ctx)
{
    (void)user;
    struct lastlogin *ll = ctx;
    struct login login;
    struct cm_err err;
    for (size_t i = 0; i < n; i++) {
        if (login_parse(&ops[i], &login, &err) != 0) {
            ll->refused++;
            cm_log_err(CM_LOG_WARNING, "commit_refused", &err);
            cm_dict_reply_fail(req, err.text);
            return;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (login_parse(&ops[i], &login, &err) == 0) {
            ll->logins++;
            days_put(ll->days, login.addr, login.day);
        }
    }
    flush_later(ll->flush);
    cm_dict_reply_ok(req);
}

static const struct cm_dict_handler handler = {.commit = on_commit};

/* Start and stop */

static void on_pg_state(bool up, void *ctx)
{
    struct lastlogin *ll = ctx;
    cm_log_state("postgresql", up, cm_pg_last_error(ll->pg),
                 "days of last login wait in memory");
}

static int on_start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    (void)err;
    struct lastlogin *ll = ctx;
    ll->loop = cm_service_loop(svc);
    struct cm_pg_options pg = {
        .conninfo = ll->conninfo, .connections = 1, .on_state = on_pg_state, .ctx = ll};
    ll->pg = cm_pg_new(ll->loop, &pg);
    ll->days = days_new(WAITING_MAX);
    ll->flush = flush_new(ll->loop, ll->pg, ll->days);
    ll->dict = cm_dict_new(ll->loop, &handler, ll);
    cm_service_status(svc, "serving");
    return 0;
}

static bool drained(void *ctx, int64_t waited_ms)
{
    struct lastlogin *ll = ctx;
    if (!ll->last_flush && cm_dict_quiet(ll->dict, waited_ms, DRAIN_IDLE_MS)) {
        ll->last_flush = true;
        flush_now(ll->flush);
    }
    return ll->last_flush && flush_settled(ll->flush);
}

static void tell_lost(const struct lastlogin *ll)
{
    if (ll->days == NULL || days_count(ll->days) == 0) {
        return;
    }
    char count[24];
    snprintf(count, sizeof(count), "%zu", days_count(ll->days));
    cm_log(CM_LOG_ERROR, "logins_dropped", "count", count, "reason",
           "stopped while the database was away", NULL);
}

static void on_stop(void *ctx)
{
    struct lastlogin *ll = ctx;
    cm_dict_free(&ll->dict);
    cm_pg_free(&ll->pg);
    flush_free(&ll->flush);
    tell_lost(ll);
    days_free(&ll->days);
}

static void add_metrics(struct cm_buf *out, void *ctx)
{
    const struct lastlogin *ll = ctx;
    cm_metric_counter(out, "chatmail_lastlogin_logins_total",
                      "IMAP logins told by Dovecot.", ll->logins);
    cm_metric_counter(out, "chatmail_lastlogin_refused_total",
                      "Transactions that were none of a login.", ll->refused);
    cm_metric_counter(out, "chatmail_lastlogin_dropped_total",
                      "Days given up because too many waited.", days_dropped(ll->days));
    cm_metric_gauge(out, "chatmail_lastlogin_waiting", "Days not in PostgreSQL yet.",
                    (double)days_count(ll->days));
    cm_metric_gauge(out, "chatmail_lastlogin_postgres_up",
                    "1 while PostgreSQL answers.", cm_pg_up(ll->pg));
}

/* Listener */

static void on_dict(int fd, void *ctx)
{
    struct lastlogin *ll = ctx;
    cm_dict_adopt(ll->dict, fd);
}

static bool dict_ready(void *ctx)
{
    struct lastlogin *ll = ctx;
    return !cm_dict_full(ll->dict);
}

static const struct cm_listener listeners[] = {
    {.name = "dict",
     .fallback_path = "/run/chatmail-lastlogin/lastlogin.sock",
     .accept = on_dict,
     .ready = dict_ready},
    {0}};

static const struct cm_service_def service = {
    .program = "chatmail-lastlogin",
    .version = PORTICO_VERSION,
    .about = "Keeps the day of each account's last IMAP login.\n",
    .listeners = listeners,
    .start = on_start,
    .drained = drained,
    .drain_limit_ms = DRAIN_LIMIT_MS,
    .stop = on_stop,
    .metrics = add_metrics};

int main(int argc, char **argv)
{
    struct lastlogin ll = {.conninfo = CM_PG_CONNINFO("chatmail_lastlogin")};
    const struct cm_option options[] = {
        {"db", "CONNINFO", "PostgreSQL", &ll.conninfo, 0}, {0}};
    return cm_service_main(&service, options, &ll, argc, argv);
}
