/* loop: one event loop per process (libevent behind this one file).
 *
 * Every callback runs on the loop's thread. Freeing any event, its own included, inside
 * a callback is legal. */
#ifndef CM_LOOP_H
#define CM_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct cm_loop;
struct cm_io;
struct cm_timer;
struct cm_work;

#define CM_IO_READ  1u
#define CM_IO_WRITE 2u

struct cm_loop *cm_loop_new(void);
void cm_loop_free(struct cm_loop **loop);
void cm_loop_run(struct cm_loop *loop);                       /* until cm_loop_stop() */
void cm_loop_stop(struct cm_loop *loop);                      /* from a callback */
void cm_loop_once(struct cm_loop *loop, int64_t max_wait_ms); /* one turn; for tests */

/* Calls cb once no descriptor has had anything for after_ms (up to twice that), again
 * only after one has. One that has nothing to do stays asleep. At most once per loop.
 */
void cm_loop_on_rest(struct cm_loop *loop, int64_t after_ms, void (*cb)(void *ctx),
                     void *ctx);

/* Watches fd (borrowed; the caller closes it after cm_io_free). events may be 0. */
typedef void (*cm_io_cb)(int fd, unsigned events, void *ctx);
struct cm_io *cm_io_new(struct cm_loop *loop, int fd, unsigned events, cm_io_cb cb,
                        void *ctx);
void cm_io_want(struct cm_io *io, unsigned events);
void cm_io_free(struct cm_io **io);

/* A timer starts disarmed. cm_timer_set arms it once, `after_ms` from now; a set timer
 * moves. */
typedef void (*cm_timer_cb)(void *ctx);
struct cm_timer *cm_timer_new(struct cm_loop *loop, cm_timer_cb cb, void *ctx);
void cm_timer_set(struct cm_timer *timer, int64_t after_ms);
void cm_timer_stop(struct cm_timer *timer);
void cm_timer_free(struct cm_timer **timer);

/* Signals arrive as callbacks on the loop. */
typedef void (*cm_signal_cb)(int signo, void *ctx);
void cm_loop_on_signal(struct cm_loop *loop, int signo, cm_signal_cb cb, void *ctx);

/* A bounded pool of threads for work that would block the loop (password hashing, nft).
 * `run` is called on a worker thread and touches only *arg; `done` is called on the
 * loop afterwards. cm_work_submit returns -1 (kind RETRY) when max_queue jobs wait. */
struct cm_work *cm_work_new(struct cm_loop *loop, unsigned threads, unsigned max_queue);
typedef void (*cm_work_cb)(void *arg);
CM_MUSTUSE int cm_work_submit(struct cm_work *work, cm_work_cb run, cm_work_cb done,
                              void *arg, struct cm_err *err);
void cm_work_free(struct cm_work **work); /* waits for running jobs; calls their done */

#endif
