#include "gcra.h"

#define BURST_MAX 1000000 /* keeps the sums far from overflow */

struct gcra gcra_of(int64_t per_minute, int64_t burst)
{
    int64_t least = burst > 0 ? burst : 1;
    return (struct gcra){.interval_us = 60000000 / (per_minute > 0 ? per_minute : 1),
                         .burst = least < BURST_MAX ? least : BURST_MAX};
}

bool gcra_take(const struct gcra *gcra, int64_t *tat_us, int64_t now_us)
{
    int64_t most = now_us + gcra->burst * gcra->interval_us;
    if (*tat_us > most) {
        *tat_us = most;
    }
    int64_t tat = *tat_us > now_us ? *tat_us : now_us;
    if (tat - now_us > (gcra->burst - 1) * gcra->interval_us) {
        return false;
    }
    *tat_us = tat + gcra->interval_us;
    return true;
}
