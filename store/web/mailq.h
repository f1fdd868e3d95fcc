/* mailq: what waits in Postfix's queue, counted from what "postqueue -j" says: one JSON
 * object per line and message. Addresses in it are looked at by nobody.
 *
 * A stream of any length in constant memory: a message whose line is longer than
 * MAILQ_LINE_MAX (hundreds of recipients) is counted by its queue alone. Pure. */
#ifndef WEB_MAILQ_H
#define WEB_MAILQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define MAILQ_LINE_MAX (256u << 10)
#define MAILQ_QUEUES   6
#define MAILQ_REASONS  9

struct mailq_counts {
    int64_t messages[MAILQ_QUEUES]; /* by state: active, deferred ... other */
    int64_t bytes;
    int64_t oldest;                 /* arrival, Unix time; 0: the queue is empty */
    int64_t reasons[MAILQ_REASONS]; /* recipients that wait, by why */
};

struct mailq {
    struct mailq_counts counts;
    struct cm_buf line;
    bool too_long; /* the rest of this line is thrown away */
    int64_t bad;   /* lines that are no message */
};

void mailq_init(struct mailq *q);
void mailq_clear(struct mailq *q);
void mailq_feed(struct mailq *q, const char *data, size_t len);

/* chatmail_queue_*, without the age when the queue is empty. */
void mailq_write(const struct mailq_counts *counts, int64_t now_s, struct cm_buf *out);

#endif
