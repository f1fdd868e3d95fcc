/* pushkit: chatmail-push with all it stands on, for tests and benches: a PostgreSQL
 * with the schema, a Redis that writes each command to disk, the notification service
 * of integration/notifier with a CA of its own, all in one temporary directory.
 * Anything unexpected ends the program with a text. */
#ifndef PUSHKIT_H
#define PUSHKIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "pgfixture/pgfixture.h"
#include "redisfixture/redisfixture.h"

struct pushkit {
    char dir[64];
    char bell[96], spool[96], control[96], metrics[96], log[96], ca[96], ini[96];
    struct pgfixture *pg;
    struct redisfixture *redis;
    pid_t push, notifier; /* 0: not running */
    int bell_fd, metrics_fd;
    int port; /* of the notifier */
};

/* Without push running. False when PostgreSQL or Redis are not installed. */
bool pushkit_open(struct pushkit *kit);
void pushkit_close(struct pushkit *kit);

/* retry_ms: NULL for the default. Returns when it has both databases, or after 2 s. */
void pushkit_start(struct pushkit *kit, const char *retry_ms);
int pushkit_stop(struct pushkit *kit, int signo); /* the wait status */
/* notification_url for the next start or SIGHUP. */
void pushkit_write_ini(struct pushkit *kit, const char *url);

void pushkit_notifier_start(struct pushkit *kit);
void pushkit_notifier_stop(struct pushkit *kit);
/* One command of its control socket. The answer is valid until the next call. */
const char *pushkit_ask(struct pushkit *kit, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
long pushkit_count(struct pushkit *kit, const char *prefix);

void pushkit_token(struct pushkit *kit, const char *addr, const char *token);
/* Rings and waits for the answer: 0 when push has it on record, within 5 s. Leaves no
 * file. */
int pushkit_ring(struct pushkit *kit, const char *addr);
/* One value of its metrics, -1 when it is not there. line: up to the blank. */
double pushkit_metric(struct pushkit *kit, const char *line);

/* Calls is_so each 10 ms until it is, at most limit_ms. */
bool pushkit_until(bool (*is_so)(void *ctx), void *ctx, int64_t limit_ms);

#endif
