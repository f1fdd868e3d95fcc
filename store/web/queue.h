/* queue: the counts of Postfix's queue, at most QUEUE_FRESH_MS old when asked for.
 *
 * They come from a socket behind which systemd runs "postqueue -j" as a user of its own
 * (chatmail-queue.socket): this program needs no right over Postfix. */
#ifndef WEB_QUEUE_H
#define WEB_QUEUE_H

#include "common/buf.h"
#include "common/loop.h"

#define QUEUE_FRESH_MS 15000
#define QUEUE_LIMIT_MS 10000
#define QUEUE_SAID_MAX (256u << 20) /* half a million messages; more is no answer */

struct queue;

struct queue *queue_new(struct cm_loop *loop, const char *path);
void queue_free(struct queue **queue);

/* Asks unless what is known is fresh or a question is under way. */
void queue_refresh(struct queue *queue);
bool queue_busy(const struct queue *queue);
/* What is known, and chatmail_queue_up: whether the last question was answered. Counts
 * that could not be renewed are left out. */
void queue_metrics(const struct queue *queue, struct cm_buf *out);

#endif
