/* tally: what a filter process has done, counted by its threads, told as metrics. */
#ifndef FILTER_TALLY_H
#define FILTER_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/buf.h"

#include "decide.h"

enum tally_result {
    TALLY_ACCEPTED,
    TALLY_DROPPED,
    TALLY_REFUSED,
    TALLY_PUT_OFF,
    TALLY_RESULTS
};

struct tally {
    _Atomic uint64_t messages[TALLY_RESULTS][WHYS];
    _Atomic uint64_t rate_here;       /* rate checks done without Redis */
    _Atomic uint64_t senders_cleared; /* envelope senders that became null */
    _Atomic uint64_t samples;         /* rejected messages that were kept */
    _Atomic int64_t sessions;         /* connections of Postfix that have sent mail */
    _Atomic int64_t transactions;     /* under way */
};

/* A refusal with a code of 4xx is put off. */
void tally_count(struct tally *tally, const struct decision *d);
/* mode: label of all lines. */
void tally_write(struct tally *tally, const char *mode, struct cm_buf *out);

#endif
