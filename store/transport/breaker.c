#include "breaker.h"

enum breaker_state breaker_state(const struct breaker *b, int64_t now_ms)
{
    if (!b->open) {
        return BREAKER_CLOSED;
    }
    return now_ms < b->until_ms ? BREAKER_OPEN : BREAKER_HALF_OPEN;
}

bool breaker_admit(struct breaker *b, int64_t now_ms)
{
    enum breaker_state state = breaker_state(b, now_ms);
    if (state == BREAKER_HALF_OPEN && !b->probing) {
        b->probing = true;
        return true;
    }
    return state == BREAKER_CLOSED;
}

void breaker_unused(struct breaker *b)
{
    b->probing = false;
}

void breaker_good(struct breaker *b, int64_t now_ms)
{
    *b = (struct breaker){.proven_ms = now_ms};
}

static bool remembered(const struct breaker *b, int64_t now_ms)
{
    return b->proven_ms > 0 && now_ms - b->proven_ms < BREAKER_MEMORY_MS;
}

bool breaker_proven(const struct breaker *b, int64_t now_ms)
{
    return !b->open && remembered(b, now_ms);
}

void breaker_bad(struct breaker *b, int64_t now_ms, uint32_t chance, bool grow)
{
    b->probing = false;
    if (b->open && now_ms < b->until_ms) {
        return; /* attempts that had begun before it opened count once */
    }
    b->bad++;
    unsigned patience = remembered(b, now_ms) ? BREAKER_PATIENCE : 1;
    if (!b->open && b->bad < patience) {
        return;
    }
    unsigned doublings = grow ? b->bad - patience : 0;
    int64_t wait = BREAKER_FIRST_MS;
    while (doublings-- > 0 && wait < BREAKER_LONGEST_MS) {
        wait *= 2;
    }
    if (wait > BREAKER_LONGEST_MS) {
        wait = BREAKER_LONGEST_MS;
    }
    b->open = true;
    b->until_ms = now_ms + wait - (int64_t)(chance % (uint32_t)(wait / 2 + 1));
}
