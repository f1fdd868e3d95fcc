/* breaker: keeps a destination that cannot be reached from taking up what others need.
 * Pure; the caller brings time and chance.
 *
 * Closed: everything goes. Bad attempts in a row (one, or BREAKER_PATIENCE after a good
 * one within BREAKER_MEMORY_MS) open it: nothing goes for a while that doubles each
 * time, from BREAKER_FIRST_MS to BREAKER_LONGEST_MS, less up to half of it by chance.
 * Then it is half open: one attempt may show whether it closes. */
#ifndef TRANSPORT_BREAKER_H
#define TRANSPORT_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_PATIENCE   2
#define BREAKER_FIRST_MS   5000
#define BREAKER_LONGEST_MS 300000
#define BREAKER_MEMORY_MS  (30 * 60 * 1000)

/* Zero initialised: closed, nothing known. Times are monotonic milliseconds. */
struct breaker {
    unsigned bad; /* in a row */
    bool open;    /* until until_ms, half open from then on */
    bool probing; /* half open, and the one attempt is under way */
    int64_t until_ms;
    int64_t proven_ms; /* last good attempt; 0: none */
};

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

enum breaker_state breaker_state(const struct breaker *b, int64_t now_ms);
/* May an attempt be made now? Half open: true once, until good, bad or unused. */
bool breaker_admit(struct breaker *b, int64_t now_ms);
/* The attempt that was admitted was not made after all. */
void breaker_unused(struct breaker *b);
/* The destination answered, whatever it said. */
void breaker_good(struct breaker *b, int64_t now_ms);
/* chance: any 32 random bits. May it grow? DNS trouble, which is perhaps our own, opens
 * it for BREAKER_FIRST_MS only. */
void breaker_bad(struct breaker *b, int64_t now_ms, uint32_t chance, bool grow);
/* Good at some time within the memory, and not known to be bad since. */
bool breaker_proven(const struct breaker *b, int64_t now_ms);

#endif
