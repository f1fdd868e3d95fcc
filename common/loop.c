#include "common/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/mem.h"

#define SIGNALS_MAX 8

struct signal_watch {
    struct event *ev;
    cm_signal_cb cb;
    void *ctx;
};

struct cm_loop {
    struct event_base *base;
    struct event *once_limit;
    struct signal_watch signals[SIGNALS_MAX];
    size_t signal_count;
    struct event *rest; /* NULL: nobody wants to know */
    struct timeval rest_after;
    bool rest_due; /* the event is pending */
    bool busy;     /* a descriptor had something since it was set */
    void (*rest_cb)(void *ctx);
    void *rest_ctx;
};

struct cm_io {
    struct event *ev;
    struct cm_loop *loop;
    int fd;
    unsigned events;
    cm_io_cb cb;
    void *ctx;
};

struct cm_timer {
    struct event *ev;
    cm_timer_cb cb;
    void *ctx;
};

static struct timeval to_timeval(int64_t ms)
{
    if (ms < 0) {
        ms = 0;
    }
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static void once_limit_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

struct cm_loop *cm_loop_new(void)
{
    struct cm_loop *loop = cm_calloc(1, sizeof(*loop));
    struct event_config *cfg = event_config_new();
    cm_assert(cfg != NULL);
    /* Timers in milliseconds; the default clock of epoll_wait is coarser. */
    event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
    loop->base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    cm_assert(loop->base != NULL);
    loop->once_limit = evtimer_new(loop->base, once_limit_event, NULL);
    cm_assert(loop->once_limit != NULL);
    return loop;
}

void cm_loop_free(struct cm_loop **loop)
{
    if (*loop == NULL) {
        return;
    }
    for (size_t i = 0; i < (*loop)->signal_count; i++) {
        event_free((*loop)->signals[i].ev);
    }
    if ((*loop)->rest != NULL) {
        event_free((*loop)->rest);
    }
    event_free((*loop)->once_limit);
    event_base_free((*loop)->base);
    free(*loop);
    *loop = NULL;
}

void cm_loop_run(struct cm_loop *loop)
{
    event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void cm_loop_stop(struct cm_loop *loop)
{
    event_base_loopbreak(loop->base);
}

void cm_loop_once(struct cm_loop *loop, int64_t max_wait_ms)
{
    struct timeval tv = to_timeval(max_wait_ms);
    evtimer_add(loop->once_limit, &tv);
    event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
    evtimer_del(loop->once_limit);
}

static void rest_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cm_loop *loop = arg;
    loop->rest_due = false;
    if (loop->busy) {
        loop->busy = false;
        loop->rest_due = true;
        evtimer_add(loop->rest, &loop->rest_after);
    } else {
        loop->rest_cb(loop->rest_ctx);
    }
}

void cm_loop_on_rest(struct cm_loop *loop, int64_t after_ms, void (*cb)(void *ctx),
                     void *ctx)
{
    cm_assert(loop->rest == NULL);
    loop->rest_after = to_timeval(after_ms);
    loop->rest_cb = cb;
    loop->rest_ctx = ctx;
    loop->rest = evtimer_new(loop->base, rest_event, loop);
    cm_assert(loop->rest != NULL);
}

static void note_busy(struct cm_loop *loop)
{
    loop->busy = true;
    if (!loop->rest_due) {
        loop->rest_due = true;
        evtimer_add(loop->rest, &loop->rest_after);
    }
}

/* The object may be gone when cb returns, so nothing is read from it afterwards. */
static void io_event(evutil_socket_t fd, short what, void *arg)
{
    struct cm_io *io = arg;
    if (io->loop->rest != NULL) {
        note_busy(io->loop);
    }
    unsigned events =
        ((what & EV_READ) ? CM_IO_READ : 0u) | ((what & EV_WRITE) ? CM_IO_WRITE : 0u);
    io->cb(fd, events, io->ctx);
}

struct cm_io *cm_io_new(struct cm_loop *loop, int fd, unsigned events, cm_io_cb cb,
                        void *ctx)
{
    struct cm_io *io = cm_calloc(1, sizeof(*io));
    io->loop = loop;
    io->fd = fd;
    io->cb = cb;
    io->ctx = ctx;
    io->ev = event_new(loop->base, fd, EV_PERSIST, io_event, io);
    cm_assert(io->ev != NULL);
    cm_io_want(io, events);
    return io;
}

void cm_io_want(struct cm_io *io, unsigned events)
{
    if (events == io->events) {
        return;
    }
    io->events = events;
    event_del(io->ev);
    if (events == 0) {
        return;
    }
    short what = (short)(EV_PERSIST | ((events & CM_IO_READ) ? EV_READ : 0) |
                         ((events & CM_IO_WRITE) ? EV_WRITE : 0));
    cm_assert(event_assign(io->ev, io->loop->base, io->fd, what, io_event, io) == 0);
    cm_assert(event_add(io->ev, NULL) == 0);
}

void cm_io_free(struct cm_io **io)
{
    if (*io == NULL) {
        return;
    }
    event_free((*io)->ev);
    free(*io);
    *io = NULL;
}

static void timer_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cm_timer *timer = arg;
    timer->cb(timer->ctx);
}

struct cm_timer *cm_timer_new(struct cm_loop *loop, cm_timer_cb cb, void *ctx)
{
    struct cm_timer *timer = cm_calloc(1, sizeof(*timer));
    timer->cb = cb;
    timer->ctx = ctx;
    timer->ev = evtimer_new(loop->base, timer_event, timer);
    cm_assert(timer->ev != NULL);
    return timer;
}

void cm_timer_set(struct cm_timer *timer, int64_t after_ms)
{
    struct timeval tv = to_timeval(after_ms);
    cm_assert(evtimer_add(timer->ev, &tv) == 0);
}

void cm_timer_stop(struct cm_timer *timer)
{
    evtimer_del(timer->ev);
}

void cm_timer_free(struct cm_timer **timer)
{
    if (*timer == NULL) {
        return;
    }
    event_free((*timer)->ev);
    free(*timer);
    *timer = NULL;
}

static void signal_event(evutil_socket_t signo, short what, void *arg)
{
    (void)what;
    struct signal_watch *watch = arg;
    watch->cb((int)signo, watch->ctx);
}

void cm_loop_on_signal(struct cm_loop *loop, int signo, cm_signal_cb cb, void *ctx)
{
    cm_assert(loop->signal_count < SIGNALS_MAX);
    struct signal_watch *watch = &loop->signals[loop->signal_count++];
    watch->cb = cb;
    watch->ctx = ctx;
    watch->ev = evsignal_new(loop->base, signo, signal_event, watch);
    cm_assert(watch->ev != NULL && event_add(watch->ev, NULL) == 0);
}

/* Workers: a queue in, a queue out, and an eventfd that tells the loop about the
 * second. */

struct job {
    struct job *next;
    cm_work_cb run;
    cm_work_cb done;
    void *arg;
};

struct job_queue {
    struct job *head;
    struct job **tail;
};

struct cm_work {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job_queue waiting;
    struct job_queue finished;
    unsigned waiting_count;
    unsigned max_queue;
    bool stopping;
    int event_fd;
    struct cm_io *io;
    unsigned thread_count;
    pthread_t threads[];
};

static void queue_init(struct job_queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static void queue_put(struct job_queue *q, struct job *job)
{
    job->next = NULL;
    *q->tail = job;
    q->tail = &job->next;
}

static struct job *queue_take(struct job_queue *q)
{
    struct job *job = q->head;
    if (job != NULL) {
        q->head = job->next;
        if (q->head == NULL) {
            q->tail = &q->head;
        }
    }
    return job;
}

static void *worker(void *arg)
{
    struct cm_work *work = arg;
    pthread_mutex_lock(&work->lock);
    for (;;) {
        struct job *job = queue_take(&work->waiting);
        if (job == NULL) {
            if (work->stopping) {
                break;
            }
            pthread_cond_wait(&work->wake, &work->lock);
            continue;
        }
        work->waiting_count--;
        pthread_mutex_unlock(&work->lock);
        job->run(job->arg);
        pthread_mutex_lock(&work->lock);
        queue_put(&work->finished, job);
        (void)eventfd_write(work->event_fd, 1);
    }
    pthread_mutex_unlock(&work->lock);
    return NULL;
}

/* Takes the whole list first: a done() may submit new work, or end in cm_work_free().
 */
static void deliver(int fd, unsigned events, void *ctx)
{
    (void)events;
    struct cm_work *work = ctx;
    eventfd_t count;
    (void)eventfd_read(fd, &count);
    pthread_mutex_lock(&work->lock);
    struct job *job = work->finished.head;
    queue_init(&work->finished);
    pthread_mutex_unlock(&work->lock);
    while (job != NULL) {
        struct job *next = job->next;
        job->done(job->arg);
        free(job);
        job = next;
    }
}

struct cm_work *cm_work_new(struct cm_loop *loop, unsigned threads, unsigned max_queue)
{
    cm_assert(threads > 0);
    struct cm_work *work = cm_calloc(1, sizeof(*work) + threads * sizeof(pthread_t));
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->wake, NULL);
    queue_init(&work->waiting);
    queue_init(&work->finished);
    work->max_queue = max_queue;
    work->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    cm_assert(work->event_fd >= 0);
    work->io = cm_io_new(loop, work->event_fd, CM_IO_READ, deliver, work);

    /* Signals belong to the loop's thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < threads; i++) {
        cm_assert(pthread_create(&work->threads[i], NULL, worker, work) == 0);
    }
    work->thread_count = threads;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return work;
}

int cm_work_submit(struct cm_work *work, cm_work_cb run, cm_work_cb done, void *arg,
                   struct cm_err *err)
{
    pthread_mutex_lock(&work->lock);
    bool full = work->stopping || work->waiting_count >= work->max_queue;
    if (!full) {
        struct job *job = cm_calloc(1, sizeof(*job));
        job->run = run;
        job->done = done;
        job->arg = arg;
        queue_put(&work->waiting, job);
        work->waiting_count++;
        pthread_cond_signal(&work->wake);
    }
    pthread_mutex_unlock(&work->lock);
    return full ? cm_err_set(err, CM_ERR_RETRY, "all workers are busy") : 0;
}

void cm_work_free(struct cm_work **workp)
{
    struct cm_work *work = *workp;
    if (work == NULL) {
        return;
    }
    *workp = NULL;
    pthread_mutex_lock(&work->lock);
    work->stopping = true;
    pthread_cond_broadcast(&work->wake);
    pthread_mutex_unlock(&work->lock);
    for (unsigned i = 0; i < work->thread_count; i++) {
        pthread_join(work->threads[i], NULL);
    }
    deliver(work->event_fd, CM_IO_READ, work);
    cm_io_free(&work->io);
    close(work->event_fd);
    pthread_cond_destroy(&work->wake);
    pthread_mutex_destroy(&work->lock);
    free(work);
}
