#include "ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

void ledger_init(struct ledger *ledger)
{
    *ledger = (struct ledger){.count = 0};
    pthread_mutex_init(&ledger->lock, NULL);
}

void ledger_clear(struct ledger *ledger)
{
    pthread_mutex_destroy(&ledger->lock);
    free(ledger->entries);
    *ledger = (struct ledger){.count = 0};
}

void ledger_add(struct ledger *ledger, const char *id, enum ledger_fate fate)
{
    pthread_mutex_lock(&ledger->lock);
    cm_assert(ledger->count < LEDGER_MAX);
    if (ledger->count == ledger->cap) {
        ledger->cap = ledger->cap > 0 ? 2 * ledger->cap : 64;
        ledger->entries =
            cm_realloc_array(ledger->entries, ledger->cap, sizeof *ledger->entries);
    }
    struct ledger_entry *e = &ledger->entries[ledger->count++];
    *e = (struct ledger_entry){.fate = fate};
    cm_assert(strlen(id) < sizeof e->id);
    snprintf(e->id, sizeof e->id, "%s", id);
    pthread_mutex_unlock(&ledger->lock);
}

size_t ledger_count(const struct ledger *ledger, enum ledger_fate fate)
{
    size_t n = 0;
    for (size_t i = 0; i < ledger->count; i++) {
        n += ledger->entries[i].fate == fate;
    }
    return n;
}

void ledger_forget_found(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->count; i++) {
        ledger->entries[i].found = 0;
    }
    ledger->foreign = 0;
}

void ledger_found(struct ledger *ledger, const char *id)
{
    for (size_t i = 0; i < ledger->count; i++) {
        if (strcmp(ledger->entries[i].id, id) == 0) {
            ledger->entries[i].found++;
            return;
        }
    }
    ledger->foreign++;
}

static unsigned most_of(enum ledger_fate fate)
{
    return fate == LEDGER_REFUSED ? 0 : 1;
}

enum ledger_state ledger_judge(const struct ledger *ledger, struct cm_err *err)
{
    size_t missing = 0, excess = 0;
    const struct ledger_entry *absent = NULL, *surplus = NULL;
    for (size_t i = 0; i < ledger->count; i++) {
        const struct ledger_entry *e = &ledger->entries[i];
        if (e->found > most_of(e->fate)) {
            surplus = surplus != NULL ? surplus : e;
            excess++;
        } else if (e->fate == LEDGER_ACCEPTED && e->found == 0) {
            absent = absent != NULL ? absent : e;
            missing++;
        }
    }
    if (surplus != NULL) {
        cm_err_set(err, CM_ERR_REFUSE,
                   "%zu messages are there too often, the first is %s: %u times, %s",
                   excess, surplus->id, surplus->found,
                   surplus->fate == LEDGER_REFUSED ? "though refused" : "sent once");
        return LEDGER_WRONG;
    }
    if (ledger->foreign > 0) {
        cm_err_set(err, CM_ERR_REFUSE, "%zu messages that nobody sent",
                   ledger->foreign);
        return LEDGER_WRONG;
    }
    if (absent != NULL) {
        cm_err_set(err, CM_ERR_RETRY,
                   "%zu of %zu accepted messages are not there, the first is %s",
                   missing, ledger_count(ledger, LEDGER_ACCEPTED), absent->id);
        return LEDGER_SHORT;
    }
    return LEDGER_EVEN;
}
