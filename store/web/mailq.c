#include "mailq.h"

#include <string.h>

#include <jansson.h>

#include "common/metrics.h"

static const char *const queues[MAILQ_QUEUES] = {"active",   "deferred", "hold",
                                                 "incoming", "maildrop", "other"};

/* Postfix writes reasons for people; these words in them say which kind it is. The
 * first that fits counts. */
static const struct {
    const char *reason;
    const char *word; /* NULL: all others */
} kinds[MAILQ_REASONS] = {
    {"timeout", "timed out"},
    {"refused", "Connection refused"},
    {"unreachable", "unreachable"},
    {"unreachable", "No route to host"},
    {"dns", "Host or domain name not found"},
    {"tls", "TLS"},
    {"lost", "lost connection"},
    {"answered", "said: 4"},
    {"other", NULL},
};

void mailq_init(struct mailq *q)
{
    *q = (struct mailq){.bad = 0};
    cm_buf_init(&q->line, MAILQ_LINE_MAX);
}

void mailq_clear(struct mailq *q)
{
    cm_buf_clear(&q->line);
}

static void count_queue(struct mailq_counts *c, const char *name, size_t len)
{
    size_t i = 0;
    while (i < MAILQ_QUEUES - 1 &&
           (strlen(queues[i]) != len || memcmp(queues[i], name, len) != 0)) {
        i++;
    }
    c->messages[i]++;
}

static void count_reason(struct mailq_counts *c, const char *reason)
{
    size_t i = 0;
    while (kinds[i].word != NULL && strstr(reason, kinds[i].word) == NULL) {
        i++;
    }
    c->reasons[i]++;
}

static void count_recipients(struct mailq_counts *c, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *reason =
            json_string_value(json_object_get(json_array_get(list, i), "delay_reason"));
        if (reason != NULL) {
            count_reason(c, reason);
        }
    }
}

static void take_line(struct mailq *q)
{
    json_t *root = json_loadb(q->line.data, q->line.len, 0, NULL);
    const char *name = json_string_value(json_object_get(root, "queue_name"));
    if (name == NULL) {
        q->bad++;
    } else {
        int64_t arrival = json_integer_value(json_object_get(root, "arrival_time"));
        count_queue(&q->counts, name, strlen(name));
        q->counts.bytes += json_integer_value(json_object_get(root, "message_size"));
        if (arrival > 0 && (q->counts.oldest == 0 || arrival < q->counts.oldest)) {
            q->counts.oldest = arrival;
        }
        count_recipients(&q->counts, json_object_get(root, "recipients"));
    }
    json_decref(root);
}

/* The line is cut; its queue stands at its beginning. */
static void take_beginning(struct mailq *q)
{
    const char *name = strstr(q->line.data, "\"queue_name\": \"");
    if (name == NULL) {
        q->bad++;
        return;
    }
    name += strlen("\"queue_name\": \"");
    count_queue(&q->counts, name, strcspn(name, "\""));
}

static void add_piece(struct mailq *q, const char *data, size_t len)
{
    if (q->too_long) {
        return;
    }
    cm_buf_add(&q->line, data, len);
    if (q->line.overflow) {
        cm_buf_add(&q->line, data, MAILQ_LINE_MAX - q->line.len);
        take_beginning(q);
        q->too_long = true;
    }
}

void mailq_feed(struct mailq *q, const char *data, size_t len)
{
    for (const char *end = data + len; data < end;) {
        const char *lf = memchr(data, '\n', (size_t)(end - data));
        add_piece(q, data, (size_t)((lf != NULL ? lf : end) - data));
        if (lf == NULL) {
            return;
        }
        if (!q->too_long && q->line.len > 0) {
            take_line(q);
        }
        cm_buf_reset(&q->line);
        q->too_long = false;
        data = lf + 1;
    }
}

void mailq_write(const struct mailq_counts *c, int64_t now_s, struct cm_buf *out)
{
    const char *labels[] = {"state", NULL, NULL};
    cm_metric_begin(out, "chatmail_queue_messages", CM_METRIC_GAUGE,
                    "Messages in Postfix's queue.");
    for (size_t i = 0; i < MAILQ_QUEUES; i++) {
        labels[1] = queues[i];
        cm_metric_sample(out, "chatmail_queue_messages", labels,
                         (double)c->messages[i]);
    }
    cm_metric_gauge(out, "chatmail_queue_bytes", "Their size.", (double)c->bytes);
    cm_metric_gauge(out, "chatmail_queue_oldest_seconds",
                    "Age of the oldest of them; 0 when there is none.",
                    c->oldest > 0 && now_s > c->oldest ? (double)(now_s - c->oldest)
                                                       : 0);
    cm_metric_begin(out, "chatmail_queue_delayed_recipients", CM_METRIC_GAUGE,
                    "Recipients that could not be reached yet, by reason.");
    labels[0] = "reason";
    for (size_t i = 0; i < MAILQ_REASONS; i++) {
        int64_t n = c->reasons[i];
        while (i + 1 < MAILQ_REASONS &&
               strcmp(kinds[i + 1].reason, kinds[i].reason) == 0) {
            n += c->reasons[++i]; /* two words for one reason */
        }
        labels[1] = kinds[i].reason;
        cm_metric_sample(out, "chatmail_queue_delayed_recipients", labels, (double)n);
    }
}
