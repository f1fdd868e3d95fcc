#include "queue.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"

#include "fetch.h"
#include "mailq.h"

struct queue {
    struct cm_loop *loop;
    char *path;
    struct fetch *fetch; /* under way, or over and not freed yet */
    bool busy;
    struct mailq reading;
    bool known;
    struct mailq_counts counts;
    int64_t asked_ms; /* monotonic; of the last question */
};

struct queue *queue_new(struct cm_loop *loop, const char *path)
{
    struct queue *q = cm_calloc(1, sizeof(*q));
    q->loop = loop;
    q->path = cm_strdup(path);
    q->asked_ms = -QUEUE_FRESH_MS;
    return q;
}

static void stop(struct queue *q)
{
    fetch_free(&q->fetch);
    if (q->busy) {
        mailq_clear(&q->reading);
        q->busy = false;
    }
}

void queue_free(struct queue **qp)
{
    struct queue *q = *qp;
    if (q != NULL) {
        stop(q);
        free(q->path);
        free(q);
        *qp = NULL;
    }
}

static void on_data(const char *data, size_t len, void *ctx)
{
    struct queue *q = ctx;
    mailq_feed(&q->reading, data, len);
}

static void on_end(bool whole, void *ctx)
{
    struct queue *q = ctx;
    q->known = whole && q->reading.bad == 0;
    if (q->known) {
        q->counts = q->reading.counts;
    } else {
        cm_log(CM_LOG_WARNING, "queue_not_read", NULL);
    }
    stop(q);
}

void queue_refresh(struct queue *q)
{
    int64_t now = cm_now_mono_ms();
    if (q->busy || now - q->asked_ms < QUEUE_FRESH_MS) {
        return;
    }
    struct fetch_hooks hooks = {.data = on_data, .end = on_end, .ctx = q};
    q->asked_ms = now;
    q->busy = true;
    mailq_init(&q->reading);
    q->fetch = fetch_new(q->loop, q->path, QUEUE_LIMIT_MS, QUEUE_SAID_MAX, &hooks);
}

bool queue_busy(const struct queue *q)
{
    return q->busy;
}

void queue_metrics(const struct queue *q, struct cm_buf *out)
{
    cm_metric_gauge(out, "chatmail_queue_up", "1 while Postfix's queue can be read.",
                    q->known);
    if (q->known) {
        mailq_write(&q->counts, cm_now_wall_ms() / 1000, out);
    }
}
