#include "rate.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include "blind.h"

struct rate {
    struct desk *desk;
    struct tally *tally;
    pthread_mutex_t lock;
    struct rate_table table;
};

struct rate *rate_new(struct desk *desk, struct tally *tally)
{
    struct rate *rate = cm_calloc(1, sizeof(*rate));
    rate->desk = desk;
    rate->tally = tally;
    pthread_mutex_init(&rate->lock, NULL);
    return rate;
}

bool rate_table_take(struct rate_table *table, const struct gcra *gcra, uint64_t key,
                     int64_t now_us)
{
    size_t row = key % RATE_ROWS, oldest = 0;
    for (size_t i = 0; i < RATE_WAYS; i++) {
        if (table->slot[row][i].key == key) {
            return gcra_take(gcra, &table->slot[row][i].tat_us, now_us);
        }
        if (table->slot[row][i].tat_us < table->slot[row][oldest].tat_us) {
            oldest = i;
        }
    }
    table->slot[row][oldest].key = key;
    table->slot[row][oldest].tat_us = 0;
    return gcra_take(gcra, &table->slot[row][oldest].tat_us, now_us);
}

static bool take_here(struct rate *rate, const struct gcra *gcra, const char *blinded)
{
    uint64_t key = strtoull(blinded, NULL, 16);
    atomic_fetch_add_explicit(&rate->tally->rate_here, 1, memory_order_relaxed);
    pthread_mutex_lock(&rate->lock);
    bool ok = rate_table_take(&rate->table, gcra, key, cm_now_mono_ms() * 1000);
    pthread_mutex_unlock(&rate->lock);
    return ok;
}

bool rate_take(struct rate *rate, const struct gcra *gcra, const char *addr)
{
    char blinded[BLIND_SIZE], key[64];
    struct cm_err err;
    blind(addr, blinded);
    snprintf(key, sizeof(key), "filter:rate:%s", blinded);
    int rc = desk_rate(rate->desk, key, gcra, &err);
    if (rc >= 0) {
        return rc == 1;
    }
    cm_log_err(CM_LOG_WARNING, "rate_without_redis", &err);
    return take_here(rate, gcra, blinded);
}
