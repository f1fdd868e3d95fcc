/* watch: when does silence mean that coturn has to be started anew? Pure. */
#ifndef TURN_WATCH_H
#define TURN_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#define WATCH_MISSES_MAX 3
/* coturn waits a minute for an address that is not there yet, and then ends itself. */
#define WATCH_FIRST_MAX 18

/* Of one address. */
struct watch {
    uint64_t answered, missed;
    int64_t took_ms; /* by the last answer; -1: none yet */
    unsigned misses; /* in a row, up to now */
};

void watch_init(struct watch *watch);
void watch_note(struct watch *watch, int64_t took_ms); /* as in probe_cb */
bool watch_is_up(const struct watch *watch);           /* the last one was answered */
bool watch_is_over(const struct watch *watch);

#endif
