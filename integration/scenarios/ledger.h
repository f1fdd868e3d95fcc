/* ledger: every message that was offered, what was answered, and how often it was
 * found.
 *
 * Adding is safe in threads; the rest is for one thread after the senders are done, or
 * between two looks into a mailbox. */
#ifndef SCENARIOS_LEDGER_H
#define SCENARIOS_LEDGER_H

#include <pthread.h>
#include <stddef.h>

#include "common/err.h"

#define LEDGER_ID  96
#define LEDGER_MAX 20000

enum ledger_fate {
    LEDGER_ACCEPTED, /* answered 250: must be there exactly once */
    LEDGER_REFUSED,  /* answered 4xx or 5xx: must not be there */
    LEDGER_UNKNOWN,  /* the connection died before an answer: at most once */
};

struct ledger_entry {
    char id[LEDGER_ID];
    enum ledger_fate fate;
    unsigned found;
};

struct ledger {
    pthread_mutex_t lock;
    struct ledger_entry *entries;
    size_t count;
    size_t cap;
    size_t foreign; /* found, but never added */
};

void ledger_init(struct ledger *ledger);
void ledger_clear(struct ledger *ledger);
void ledger_add(struct ledger *ledger, const char *id, enum ledger_fate fate);
size_t ledger_count(const struct ledger *ledger, enum ledger_fate fate);

void ledger_forget_found(struct ledger *ledger); /* before the next look */
void ledger_found(struct ledger *ledger, const char *id);

enum ledger_state {
    LEDGER_EVEN,  /* all is as it must be */
    LEDGER_SHORT, /* only: some accepted ones are not there yet */
    LEDGER_WRONG, /* something is there that must not be; waiting does not help */
};

/* Fills err for all but EVEN, with counts and the first id of the worst kind. */
enum ledger_state ledger_judge(const struct ledger *ledger, struct cm_err *err);

#endif
