#include "watch.h"

void watch_init(struct watch *watch)
{
    *watch = (struct watch){.took_ms = -1};
}

void watch_note(struct watch *watch, int64_t took_ms)
{
    if (took_ms < 0) {
        watch->missed++;
        watch->misses++;
        return;
    }
    watch->answered++;
    watch->misses = 0;
    watch->took_ms = took_ms;
}

bool watch_is_up(const struct watch *watch)
{
    return watch->answered > 0 && watch->misses == 0;
}

bool watch_is_over(const struct watch *watch)
{
    return watch->misses >= (watch->answered > 0 ? WATCH_MISSES_MAX : WATCH_FIRST_MAX);
}
