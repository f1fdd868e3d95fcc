#include "schedule.h"

static int64_t delay_us(int64_t base_ms, unsigned try)
{
    int64_t delay = base_ms * 1000;
    for (unsigned i = 1; i < try; i++) {
        delay *= 8;
    }
    return delay;
}

bool schedule_next(int64_t base_ms, int64_t start_us, int64_t failed_us, unsigned tries,
                   uint32_t random, int64_t *due_us_r)
{
    if (tries >= SCHEDULE_TRIES) {
        return false;
    }
    int64_t delay = delay_us(base_ms, tries);
    if (failed_us + delay > start_us + SCHEDULE_LIFE_US) {
        return false;
    }
    *due_us_r = failed_us + delay + (int64_t)random % (delay / SCHEDULE_JITTER + 1);
    return true;
}

int64_t schedule_longest_us(int64_t base_ms)
{
    int64_t delay = delay_us(base_ms, SCHEDULE_TRIES - 1);
    return delay + delay / SCHEDULE_JITTER;
}
