#include "figures.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/metrics.h"

struct figures {
    struct figures_env env;
    struct cm_timer *timer;
    struct queue_figures queue; /* as last heard */
};

static void on_queue(const struct queue_figures *queue, void *ctx)
{
    struct figures *figures = ctx;
    if (queue != NULL) {
        figures->queue = *queue;
    }
}

void figures_wake(struct figures *figures)
{
    if (queue_up(figures->env.ring->queue)) {
        queue_figures(figures->env.ring->queue, on_queue, figures);
    }
}

static void on_timer(void *ctx)
{
    struct figures *figures = ctx;
    figures_wake(figures);
    cm_timer_set(figures->timer, FIGURES_EVERY_MS);
}

struct figures *figures_new(struct cm_loop *loop, const struct figures_env *env)
{
    struct figures *figures = cm_calloc(1, sizeof(*figures));
    figures->env = *env;
    figures->timer = cm_timer_new(loop, on_timer, figures);
    cm_timer_set(figures->timer, FIGURES_EVERY_MS);
    return figures;
}

void figures_free(struct figures **figures)
{
    if (*figures == NULL) {
        return;
    }
    cm_timer_free(&(*figures)->timer);
    free(*figures);
    *figures = NULL;
}

static void write_sent(const struct pump_figures *pump, struct cm_buf *out)
{
    static const char name[] = "chatmail_push_requests_total";
    const struct {
        const char *result;
        uint64_t count;
    } rows[] = {{"200", pump->sent},
                {"410", pump->gone},
                {"other", pump->other},
                {"transport", pump->transport}};
    cm_metric_begin(out, name, CM_METRIC_COUNTER,
                    "Requests to the notification service by result.");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *labels[] = {"result", rows[i].result, NULL};
        cm_metric_sample(out, name, labels, (double)rows[i].count);
    }
}

static double seconds_since(int64_t then_ms)
{
    int64_t since = cm_now_wall_ms() - then_ms;
    return since > 0 ? (double)(since / 1000) : 0;
}

static void write_queue(const struct figures *figures, struct cm_buf *out)
{
    const struct queue_figures *queue = &figures->queue;
    cm_metric_gauge(out, "chatmail_push_queue_length",
                    "Notifications that wait or are under way.",
                    (double)queue->waiting);
    cm_metric_gauge(out, "chatmail_push_oldest_age_seconds",
                    "Age of the oldest of these, 0 without any.",
                    queue->oldest_us != 0 ? seconds_since(queue->oldest_us / 1000) : 0);
    cm_metric_gauge(out, "chatmail_push_waiting_lookups",
                    "Addresses that rang while PostgreSQL was away.",
                    (double)queue->lookups);
    if (queue->last_ms != 0) {
        cm_metric_gauge(out, "chatmail_push_seconds_since_last_success",
                        "Since the newest 200, or since push first ran before any.",
                        seconds_since(queue->last_ms));
    }
}

void figures_write(const struct figures *figures, struct cm_buf *out)
{
    const struct ring_env *ring = figures->env.ring;
    const struct bell_figures *bell = bell_figures(figures->env.bell);
    const struct pump_figures *pump = pump_figures(ring->pump);
    write_sent(pump, out);
    write_queue(figures, out);
    cm_metric_counter(out, "chatmail_push_dropped_total",
                      "Notifications given up at the deadline.", pump->dropped);
    cm_metric_gauge(out, "chatmail_push_in_flight", "Requests under way.",
                    (double)pump_flights(ring->pump));
    cm_metric_counter(out, "chatmail_push_rings_total", "Rings at the bell.",
                      bell->rings);
    cm_metric_counter(out, "chatmail_push_spooled_total",
                      "Rings left in the spool because Redis did not take them.",
                      bell->spooled);
    cm_metric_counter(out, "chatmail_push_forgotten_total", "Accounts forgotten.",
                      bell->forgotten);
    cm_metric_counter(out, "chatmail_push_refused_total",
                      "Connections closed without an answer.", bell->refused);
    cm_metric_gauge(out, "chatmail_push_spool_files", "Files in the spool.",
                    (double)spool_files(figures->env.spool));
    cm_metric_gauge(out, "chatmail_push_redis_up", "1 while Redis answers.",
                    queue_up(ring->queue));
    cm_metric_gauge(out, "chatmail_push_postgres_up", "1 while PostgreSQL answers.",
                    tokens_up(ring->tokens));
}
