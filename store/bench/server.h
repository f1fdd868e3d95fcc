/* server: somebody who answers the load generator, and what was seen of him. */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <sys/types.h>

#include "common/err.h"

#include "load.h"

struct server {
    const char *path;
    pid_t pid;
    double best;   /* good answers per second in the best turn */
    double cpu_us; /* of the server, per answer, in that turn */
};

/* Waits until it gives a good answer to the load's first request; 10 s at most. */
CM_MUSTUSE int server_wait(const struct server *server, const struct load *load,
                           struct cm_err *err);

/* One turn; a bad answer is an error. The load's path is the server's. result_r, which
 * the caller clears, may be NULL. */
CM_MUSTUSE int server_turn(struct server *server, const struct load *load,
                           struct load_result *result_r, struct cm_err *err);

/* Turn and turn about, so that what else the machine does hits both alike. */
CM_MUSTUSE int server_contest(struct server *ours, struct server *other,
                              const struct load *load, int turns, struct cm_err *err);

#endif
