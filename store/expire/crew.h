/* crew: a bounded number of threads that take mailboxes from a bounded queue.
 *
 * Each worker has a context of its own, so that nothing it counts needs a lock. */
#ifndef EXPIRE_CREW_H
#define EXPIRE_CREW_H

#include <stdint.h>

#define CREW_MAX   8
#define CREW_QUEUE 256

enum account_state {
    ACCOUNT_UNKNOWN, /* PostgreSQL was not asked */
    ACCOUNT_NONE,
    ACCOUNT_FOUND,
    ACCOUNT_ASIDE, /* a tree that was set aside to be removed (removal.h) */
};

struct crew_job {
    char mailbox[256];
    enum account_state state;
    int64_t seen; /* of a found account: last login, else creation; Unix time */
};

struct crew;
typedef void crew_fn(const struct crew_job *job, void *worker);

/* As many as there are processors, 2 to CREW_MAX: the disk is waited for in parallel.
 */
unsigned crew_size(void);
/* workers: n contexts, borrowed. */
struct crew *crew_new(unsigned n, crew_fn *run, void *const *workers);
/* Copies the job; waits while the queue is full. */
void crew_give(struct crew *crew, const struct crew_job *job);
/* Returns when all jobs are done and the threads have ended. */
void crew_free(struct crew **crew);

#endif
