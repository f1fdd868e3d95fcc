#include "common/loop.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
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
};

struct cm_io {
    struct event *ev;
    struct event_base *base;
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

/* The object may be gone when cb returns, so nothing is read from it afterwards. */
static void io_event(evutil_socket_t fd, short what, void *arg)
{
    struct cm_io *io = arg;
    unsigned events =
        ((what & EV_READ) ? CM_IO_READ : 0u) | ((what & EV_WRITE) ? CM_IO_WRITE : 0u);
    io->cb(fd, events, io->ctx);
}

struct cm_io *cm_io_new(struct cm_loop *loop, int fd, unsigned events, cm_io_cb cb,
                        void *ctx)
{
    struct cm_io *io = cm_calloc(1, sizeof(*io));
    io->base = loop->base;
    io->fd = fd;
    io->cb = cb;
    io->ctx = ctx;
    io->ev = event_new(io->base, fd, EV_PERSIST, io_event, io);
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
    cm_assert(event_assign(io->ev, io->base, io->fd, what, io_event, io) == 0);
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

/* Workers. No lock is shared between the loop and a worker, so that a worker of low
 * priority which loses its CPU at a bad moment never holds up the loop: each has a
 * small ring of jobs that only the loop fills and only it empties, and the finished
 * ones go onto one list with a compare-and-swap. The rest waits in a queue of the
 * loop's own. */

#define RING 2u /* the job under way, and the next */

struct job {
    struct job *next;
    cm_work_cb run;
    cm_work_cb done;
    void *arg;
    struct worker *worker;
};

struct worker {
    struct cm_work *work;
    pthread_t thread;
    sem_t wake;
    struct job *ring[RING];
    unsigned put, got; /* counts; put by the loop, got by the worker */
    unsigned given;    /* handed over and not delivered yet; the loop's */
};

struct cm_work {
    struct job *head, **tail; /* wait for room in a ring */
    unsigned waiting;
    unsigned max_queue;
    bool stopping;
    _Atomic(struct job *) finished; /* newest first */
    int event_fd;
    struct cm_io *io;
    unsigned count;
    struct worker workers[];
};

static void finish(struct cm_work *work, struct job *job)
{
    struct job *first = atomic_load(&work->finished);
    do {
        job->next = first;
    } while (!atomic_compare_exchange_weak(&work->finished, &first, job));
    (void)eventfd_write(work->event_fd, 1);
}

/* A wake for which the ring is empty means: end. */
static void *worker_run(void *arg)
{
    struct worker *w = arg;
    for (;;) {
        while (sem_wait(&w->wake) != 0) { /* EINTR, from a debugger */
        }
        if (w->got == __atomic_load_n(&w->put, __ATOMIC_ACQUIRE)) {
            return NULL;
        }
        struct job *job = w->ring[w->got++ % RING];
        job->run(job->arg);
        finish(w->work, job);
    }
}

static void worker_give(struct worker *w, struct job *job)
{
    job->worker = w;
    w->given++;
    w->ring[w->put % RING] = job;
    __atomic_store_n(&w->put, w->put + 1, __ATOMIC_RELEASE);
    sem_post(&w->wake);
}

/* The least laden one gets the next; one that has nothing to do first of all. */
static struct worker *worker_free_one(struct cm_work *work)
{
    struct worker *best = &work->workers[0];
    for (unsigned i = 1; i < work->count; i++) {
        if (work->workers[i].given < best->given) {
            best = &work->workers[i];
        }
    }
    return best->given < RING ? best : NULL;
}

static void hand_out(struct cm_work *work)
{
    struct worker *w;
    while (work->head != NULL && (w = worker_free_one(work)) != NULL) {
        struct job *job = work->head;
        work->head = job->next;
        if (work->head == NULL) {
            work->tail = &work->head;
        }
        work->waiting--;
        worker_give(w, job);
    }
}

/* The finished jobs, oldest first. */
static struct job *take_finished(struct cm_work *work)
{
    struct job *newest = atomic_exchange(&work->finished, NULL), *oldest = NULL;
    while (newest != NULL) {
        struct job *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

/* Takes the whole list first: a done() may submit new work, or end in cm_work_free().
 */
static void deliver(int fd, unsigned events, void *ctx)
{
    (void)events;
    struct cm_work *work = ctx;
    eventfd_t count;
    (void)eventfd_read(fd, &count);
    struct job *list = take_finished(work);
    for (struct job *job = list; job != NULL; job = job->next) {
        job->worker->given--;
    }
    hand_out(work);
    while (list != NULL) {
        struct job *next = list->next;
        list->done(list->arg);
        free(list);
        list = next;
    }
}

struct cm_work *cm_work_new(struct cm_loop *loop, unsigned threads, unsigned max_queue)
{
    cm_assert(threads > 0);
    struct cm_work *work =
        cm_calloc(1, sizeof(*work) + threads * sizeof(struct worker));
    work->tail = &work->head;
    work->max_queue = max_queue;
    work->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    cm_assert(work->event_fd >= 0);
    work->io = cm_io_new(loop, work->event_fd, CM_IO_READ, deliver, work);

    /* Signals belong to the loop's thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < threads; i++) {
        struct worker *w = &work->workers[i];
        w->work = work;
        cm_assert(sem_init(&w->wake, 0, 0) == 0);
        cm_assert(pthread_create(&w->thread, NULL, worker_run, w) == 0);
    }
    work->count = threads;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return work;
}

/* What runs counts, and what waits: in a ring or in the queue. */
static bool is_full(const struct cm_work *work)
{
    unsigned all = work->waiting;
    for (unsigned i = 0; i < work->count; i++) {
        all += work->workers[i].given;
    }
    return all >= work->max_queue + work->count;
}

int cm_work_submit(struct cm_work *work, cm_work_cb run, cm_work_cb done, void *arg,
                   struct cm_err *err)
{
    if (work->stopping || is_full(work)) {
        return cm_err_set(err, CM_ERR_RETRY, "all workers are busy");
    }
    struct job *job = cm_calloc(1, sizeof(*job));
    job->run = run;
    job->done = done;
    job->arg = arg;
    *work->tail = job;
    work->tail = &job->next;
    work->waiting++;
    hand_out(work);
    return 0;
}

void cm_work_free(struct cm_work **workp)
{
    struct cm_work *work = *workp;
    if (work == NULL) {
        return;
    }
    *workp = NULL;
    work->stopping = true;
    while (work->head != NULL) {
        struct pollfd p = {.fd = work->event_fd, .events = POLLIN};
        (void)poll(&p, 1, -1);
        deliver(work->event_fd, CM_IO_READ, work);
    }
    for (unsigned i = 0; i < work->count; i++) {
        sem_post(&work->workers[i].wake);
    }
    for (unsigned i = 0; i < work->count; i++) {
        pthread_join(work->workers[i].thread, NULL);
        sem_destroy(&work->workers[i].wake);
    }
    deliver(work->event_fd, CM_IO_READ, work);
    cm_io_free(&work->io);
    close(work->event_fd);
    free(work);
}
