/* load: a load generator for line services on a unix stream socket, one thread.
 *
 * Each of `lanes` connections has one request under way. A request is one send, none
 * when it is empty; its answer is complete when what came ends with a line feed, or, on
 * a fresh connection, with the connection. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define LOAD_LANES_MAX   512
#define LOAD_REQUEST_MAX 512
#define LOAD_US_MAX      1000000 /* a longer wait counts as this */

struct load {
    const char *path;
    const char *hello; /* the first bytes on each connection */
    unsigned lanes;
    bool shut;   /* the end of the request is told by shutdown(2); needs fresh */
    bool fresh;  /* connect, hello, request, answer, close; else connections are kept */
    double pace; /* requests per second, planned evenly; 0: the next at each answer */
    int64_t ms;  /* no request begins later than this */
    const char *expect; /* how a good answer begins; at most 4 bytes */
    /* Writes request i and returns its length. */
    size_t (*request)(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx);
    void *ctx;
    uint64_t first; /* i of the first request */
};

struct load_result {
    uint64_t answered, bad; /* bad: answered otherwise */
    double seconds;
    uint32_t *waits; /* how many took i microseconds; LOAD_US_MAX + 1 of them */
};

/* A connection that fails or stays silent for 10 s is an error. Cleared by the caller
 * when 0 was returned. With a pace, waits count from the moment that was planned. */
CM_MUSTUSE int load_run(const struct load *load, struct load_result *result_r,
                        struct cm_err *err);
void load_clear(struct load_result *result);

double load_rate(const struct load_result *result); /* good answers per second */
/* share: 0.5, 0.95 ... */
double load_wait_ms(const struct load_result *result, double share);

#endif
