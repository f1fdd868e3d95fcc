#include "login.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common/clock.h"

struct crew {
    const struct stage *stage;
    struct login *logins;
    size_t count;
    int64_t timeout_ms;
    atomic_size_t next;
};

static void log_in(const struct crew *crew, struct login *login)
{
    struct cm_err err;
    int64_t start = cm_now_mono_ms();
    login->answered =
        door_login(crew->stage, &login->door, login->user, login->password,
                   crew->timeout_ms, &login->got, login->text, &err) == 0;
    login->ms = cm_now_mono_ms() - start;
    if (!login->answered) {
        snprintf(login->text, sizeof login->text, "%.255s", err.text);
    }
}

static void *worker(void *arg)
{
    struct crew *crew = arg;
    size_t i;
    while ((i = atomic_fetch_add(&crew->next, 1)) < crew->count) {
        log_in(crew, &crew->logins[i]);
    }
    return NULL;
}

void login_all(const struct stage *stage, struct login *logins, size_t n,
               size_t parallel, int64_t timeout_ms)
{
    pthread_t threads[LOGIN_PARALLEL_MAX];
    struct crew crew = {
        .stage = stage, .logins = logins, .count = n, .timeout_ms = timeout_ms};
    if (parallel > n) {
        parallel = n;
    }
    cm_assert(parallel <= LOGIN_PARALLEL_MAX);
    for (size_t i = 0; i < parallel; i++) {
        cm_assert(pthread_create(&threads[i], NULL, worker, &crew) == 0);
    }
    for (size_t i = 0; i < parallel; i++) {
        pthread_join(threads[i], NULL);
    }
}

int login_judge(const struct login *logins, size_t n, struct cm_err *err)
{
    const struct login *first = NULL;
    size_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        if (!logins[i].answered || logins[i].got != logins[i].want) {
            first = first != NULL ? first : &logins[i];
            bad++;
        }
    }
    if (first == NULL) {
        return 0;
    }
    char name[64];
    door_name(&first->door, name);
    return cm_err_set(err, CM_ERR_REFUSE,
                      "%zu of %zu logins went wrong, the first at %s as %s: wanted %s, "
                      "got %s (%s)",
                      bad, n, name, first->user, imap_verdict_name(first->want),
                      first->answered ? imap_verdict_name(first->got) : "no answer",
                      first->text);
}
