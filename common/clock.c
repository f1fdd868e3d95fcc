#include "common/clock.h"

#include <stdatomic.h>
#include <time.h>

#include "common/err.h"

/* Atomic because worker threads read the clock too. */
static _Atomic int64_t shift_ms;

static int64_t read_ms(clockid_t id)
{
    struct timespec ts;
    cm_assert(clock_gettime(id, &ts) == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 + atomic_load(&shift_ms);
}

int64_t cm_now_mono_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

int64_t cm_now_mono_us(void)
{
    struct timespec ts;
    cm_assert(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000 +
           atomic_load(&shift_ms) * 1000;
}

int64_t cm_now_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

void cm_clock_shift(int64_t offset_ms)
{
    atomic_store(&shift_ms, offset_ms);
}
