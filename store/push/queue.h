/* queue: the notifications on record in Redis, in order of their due time.
 *
 *   push:t:KEY    hash: a address, b token, w what waits: "start tries due" lists
 *   push:first    sorted set: KEY by due time; its next try is the first
 *   push:again    the same for those that failed before
 *   push:age      sorted set: KEY by its oldest start
 *   push:a:ADDR   set: the KEYs of an address
 *   push:lookup   sorted set: addresses by the time of their newest ring, whose tokens
 *                 are to be looked up when PostgreSQL is back
 *   push:count    notifications that wait
 *   push:last     wall clock in ms of the newest 200
 *
 * All of it changes in Lua scripts, one per step, so that a death in between leaves the
 * step before. What is under way stays on record until its outcome is: who takes an
 * item keeps it in mind (pump.c), and a program that starts takes it again.
 *
 * Times are microseconds of queue_now_us(). Of one key there are at most QUEUE_KEY_MAX
 * notifications; one more takes the place of the newest that waits, which loses no
 * wake-up, because its post comes after both rings. Without memory for more, Redis
 * refuses additions (kind RETRY), never the rest. */
#ifndef PUSH_QUEUE_H
#define PUSH_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

#include "item.h"

#define QUEUE_KEY_MAX    64
#define QUEUE_TOKENS_MAX 64 /* in one addition */

enum queue_lane { QUEUE_FIRST, QUEUE_AGAIN, QUEUE_LANES };

struct queue;

/* Both are copied. on_state: each time Redis comes and goes. */
struct queue *queue_new(struct cm_loop *loop, const char *path,
                        void (*on_state)(bool up, void *ctx), void *ctx);
void queue_free(struct queue **queue); /* outstanding callbacks get RETRY */
bool queue_up(const struct queue *queue);
const char *queue_last_error(const struct queue *queue);

/* Grows with each call, also when the system's clock is set back meanwhile; begins with
 * the wall clock. */
int64_t queue_now_us(struct queue *queue);

/* err->kind NONE: it is on record. May come before return, as all callbacks here. */
typedef void (*queue_done_cb)(const struct cm_err *err, void *ctx);

struct queue_token {
    const void *data;
    size_t len;
    int64_t flying_us; /* start of the notification of this token under way, or 0 */
};

struct queue_add {
    const char *addr;
    const struct queue_token *tokens; /* posted in this order */
    size_t count;
    bool complete; /* these are all; else the address is put down for a lookup */
};

void queue_add(struct queue *queue, const struct queue_add *add, queue_done_cb cb,
               void *ctx);
/* Everything about an address. */
void queue_forget(struct queue *queue, const char *addr, queue_done_cb cb, void *ctx);

struct queue_taken {
    struct item **items; /* count of them; each is the callee's to free */
    size_t count;
    int64_t last_us; /* due time of the last one */
    int64_t next_us; /* when the one behind it is due; 0: there is none */
};

/* What is due now and was due after after_us, at most `limit`. Changes nothing. taken
 * is NULL on failure. */
typedef void (*queue_take_cb)(const struct queue_taken *taken, const struct cm_err *err,
                              void *ctx);
void queue_take(struct queue *queue, enum queue_lane lane, int64_t after_us,
                size_t limit, queue_take_cb cb, void *ctx);

/* Outcomes. An item that is no longer on record is none any more. */
/* One notification of the key is done; what else waits for the key is due at once. */
void queue_sent(struct queue *queue, const struct item *item, queue_done_cb cb,
                void *ctx);
/* tries and due time become these; due_us 0: it is given up. */
void queue_failed(struct queue *queue, const struct item *item, unsigned tries,
                  int64_t due_us, queue_done_cb cb, void *ctx);
/* The token is dead: all of its key goes. */
void queue_gone(struct queue *queue, const struct item *item, queue_done_cb cb,
                void *ctx);

/* What is due later than it ever could be (the clock was set back while the program was
 * not running) becomes due now. */
void queue_hurry(struct queue *queue, int64_t longest_us);

#define QUEUE_LOOKUPS_MAX 64

struct queue_lookup {
    const char *addr;
    int64_t ring_us;
};

/* Addresses that wait for a lookup, oldest first, at most QUEUE_LOOKUPS_MAX. On failure
 * lookups is NULL. */
typedef void (*queue_lookups_cb)(const struct queue_lookup *lookups, size_t count,
                                 void *ctx);
void queue_lookups(struct queue *queue, queue_lookups_cb cb, void *ctx);

struct queue_figures {
    int64_t waiting;
    int64_t oldest_us; /* start; 0: nothing waits */
    int64_t lookups;
    int64_t last_ms; /* wall clock of the newest 200; at first of the first question */
};

/* figures is NULL on failure. */
typedef void (*queue_figures_cb)(const struct queue_figures *figures, void *ctx);
void queue_figures(struct queue *queue, queue_figures_cb cb, void *ctx);
void queue_note_success(struct queue *queue, int64_t wall_ms);

#endif
