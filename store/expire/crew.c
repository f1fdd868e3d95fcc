#include "crew.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mem.h"

#define TRIM_BYTES (4 << 20)

struct crew;

struct hand {
    struct crew *crew;
    pthread_t thread;
    void *worker;
};

struct crew {
    crew_fn *run;
    struct hand hands[CREW_MAX];
    unsigned count;
    pthread_mutex_t lock;
    pthread_cond_t filled, taken;
    struct crew_job queue[CREW_QUEUE];
    size_t head, waiting;
    bool over;
};

unsigned crew_size(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (n < 2) {
        return 2;
    }
    return n > CREW_MAX ? CREW_MAX : (unsigned)n;
}

static bool take(struct crew *crew, struct crew_job *job_r)
{
    pthread_mutex_lock(&crew->lock);
    while (crew->waiting == 0 && !crew->over) {
        pthread_cond_wait(&crew->filled, &crew->lock);
    }
    bool got = crew->waiting > 0;
    if (got) {
        *job_r = crew->queue[crew->head];
        crew->head = (crew->head + 1) % CREW_QUEUE;
        /* Whoever fills sleeps until half is gone, not for each place. */
        if (--crew->waiting == CREW_QUEUE / 2) {
            pthread_cond_signal(&crew->taken);
        }
    }
    pthread_mutex_unlock(&crew->lock);
    return got;
}

static void *work(void *arg)
{
    struct hand *hand = arg;
    struct crew_job job;
    while (take(hand->crew, &job)) {
        hand->crew->run(&job, hand->worker);
    }
    return NULL;
}

struct crew *crew_new(unsigned n, crew_fn *run, void *const *workers)
{
    cm_assert(n >= 1 && n <= CREW_MAX);
    /* The buffers of a directory come and go: giving them back to the kernel each time
     * stops all threads. */
    mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
    struct crew *crew = cm_calloc(1, sizeof(*crew));
    crew->run = run;
    crew->count = n;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->filled, NULL);
    pthread_cond_init(&crew->taken, NULL);
    for (unsigned i = 0; i < n; i++) {
        crew->hands[i] = (struct hand){.crew = crew, .worker = workers[i]};
        int rc = pthread_create(&crew->hands[i].thread, NULL, work, &crew->hands[i]);
        cm_assert(rc == 0);
    }
    return crew;
}

void crew_give(struct crew *crew, const struct crew_job *job)
{
    pthread_mutex_lock(&crew->lock);
    while (crew->waiting == CREW_QUEUE) {
        pthread_cond_wait(&crew->taken, &crew->lock);
    }
    crew->queue[(crew->head + crew->waiting++) % CREW_QUEUE] = *job;
    pthread_cond_signal(&crew->filled);
    pthread_mutex_unlock(&crew->lock);
}

void crew_free(struct crew **crew_p)
{
    struct crew *crew = *crew_p;
    if (crew == NULL) {
        return;
    }
    pthread_mutex_lock(&crew->lock);
    crew->over = true;
    pthread_cond_broadcast(&crew->filled);
    pthread_mutex_unlock(&crew->lock);
    for (unsigned i = 0; i < crew->count; i++) {
        pthread_join(crew->hands[i].thread, NULL);
    }
    pthread_mutex_destroy(&crew->lock);
    pthread_cond_destroy(&crew->filled);
    pthread_cond_destroy(&crew->taken);
    free(crew);
    *crew_p = NULL;
}
