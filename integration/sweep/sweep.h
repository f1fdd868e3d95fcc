/* sweep: does every mail reach a client in IDLE, however long the client has been
 * silent? (user-voice.md 27)
 *
 * A lane is one client with one delay. Each round it ends IDLE and starts it again
 * (unless it stays), a mail is delivered `delay_ms` after that last activity, and the
 * lane waits for EXISTS.
 * Lanes run at the same time, each in a thread; nothing is shared but the callback. */
#ifndef SWEEP_SWEEP_H
#define SWEEP_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "probe/wire.h"

#define SWEEP_LANES_MAX  64
#define SWEEP_ROUNDS_MAX 100
#define SWEEP_LOST       (-1) /* in took_ms: not announced within lost_ms */

struct sweep_lane {
    struct wire_to imap;
    bool tls;
    char user[96];
    char password[64];
    int64_t delay_ms;
    bool stay;        /* IDLE is not ended between rounds */
    int64_t start_ms; /* waits this long first, so that deliveries do not coincide */
    /* from here on filled by sweep_run */
    size_t done;
    int64_t took_ms[SWEEP_ROUNDS_MAX]; /* delivery accepted to EXISTS; 0 when earlier */
    struct cm_err err;
    bool failed;
};

struct sweep {
    struct sweep_lane *lanes;
    size_t count;
    size_t rounds;
    int64_t lost_ms;
    /* Returns when the mail is accepted. Called from all lanes' threads. */
    int (*deliver)(const struct sweep_lane *lane, size_t round, void *ctx,
                   struct cm_err *err);
    void *ctx;
};

struct sweep_figures {
    size_t sent, lost;
    int64_t p50_ms, p95_ms, max_ms; /* of those announced; -1 when there are none */
};

/* All rounds of all lanes. An error is one of the means (login, delivery), never a lost
 * mail; *sweep then holds what was seen until then. */
CM_MUSTUSE int sweep_run(struct sweep *sweep, struct cm_err *err);

/* Over one lane, or over all when lane is NULL. */
struct sweep_figures sweep_figures(const struct sweep *sweep,
                                   const struct sweep_lane *lane);

#endif
