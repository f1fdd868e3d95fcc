#include "common/netlimit_local.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

struct row {
    uint64_t name;
    int64_t used;                   /* turn of the last event; 0: empty */
    int64_t newest;                 /* minute of the last event */
    uint32_t count[NETLIMIT_SLOTS]; /* by minute modulo NETLIMIT_SLOTS */
};

struct netlimit_local {
    int64_t turn;
    struct row rows[NETLIMIT_LOCAL_MAX];
};

struct netlimit_local *netlimit_local_new(void)
{
    return cm_calloc(1, sizeof(struct netlimit_local));
}

void netlimit_local_free(struct netlimit_local **local)
{
    free(*local);
    *local = NULL;
}

static struct row *row_of(struct netlimit_local *local, uint64_t name)
{
    for (size_t i = 0; i < NETLIMIT_LOCAL_MAX; i++) {
        if (local->rows[i].used > 0 && local->rows[i].name == name) {
            return &local->rows[i];
        }
    }
    return NULL;
}

static struct row *row_make(struct netlimit_local *local, uint64_t name)
{
    struct row *oldest = &local->rows[0];
    for (size_t i = 1; i < NETLIMIT_LOCAL_MAX && oldest->used > 0; i++) {
        if (local->rows[i].used < oldest->used) {
            oldest = &local->rows[i];
        }
    }
    *oldest = (struct row){.name = name};
    return oldest;
}

/* Empties the minutes between the last event and this one. A clock that was put back
 * starts again from nothing. */
static void row_turn(struct row *row, int64_t minute)
{
    if (minute - row->newest >= NETLIMIT_SLOTS || minute < row->newest - 1) {
        memset(row->count, 0, sizeof(row->count));
        row->newest = minute;
    }
    while (row->newest < minute) {
        row->newest++;
        row->count[row->newest % NETLIMIT_SLOTS] = 0;
    }
}

bool netlimit_local_room(struct netlimit_local *local, uint64_t name, int64_t max,
                         int64_t now_s, int64_t *retry_after_s)
{
    struct row *row = row_of(local, name);
    if (row == NULL) {
        return true;
    }
    row_turn(row, now_s / NETLIMIT_SLOT_S);
    int64_t sum = 0;
    for (size_t i = 0; i < NETLIMIT_SLOTS; i++) {
        sum += row->count[i];
    }
    if (sum < max) {
        return true;
    }
    /* The minute whose end in the window makes room. */
    int64_t minute = row->newest - NETLIMIT_SLOTS;
    while (sum >= max && minute < row->newest) {
        minute++;
        sum -= row->count[minute % NETLIMIT_SLOTS];
    }
    *retry_after_s = (minute + NETLIMIT_SLOTS) * NETLIMIT_SLOT_S - now_s;
    return false;
}

void netlimit_local_add(struct netlimit_local *local, uint64_t name, int64_t now_s)
{
    struct row *row = row_of(local, name);
    if (row == NULL) {
        row = row_make(local, name);
    }
    row_turn(row, now_s / NETLIMIT_SLOT_S);
    row->count[row->newest % NETLIMIT_SLOTS]++;
    row->used = ++local->turn;
}
