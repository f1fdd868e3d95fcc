/* env: what every part of the program shares: its tools, its limits, its memory and its
 * counters. Made by main.c, which owns all of it. */
#ifndef TRANSPORT_ENV_H
#define TRANSPORT_ENV_H

#include <stdbool.h>
#include <stdint.h>

#include "breaker.h"
#include "common/loop.h"
#include "smtp.h"

/* What is known of a destination (a domain or a literal); kept for BREAKER_MEMORY_MS,
 * the ENV_MARKS_MAX used last. */
struct dest_mark {
    struct breaker breaker;
    int egress;        /* number of the gateway that worked, or is to be tried next */
    int64_t egress_ms; /* monotonic; 0: none */
    char why[160];     /* it could not be reached the last time */
};

/* What is known of a mail server. */
struct host_mark {
    int64_t smtp_only_ms; /* HTTPS is not tried until then; monotonic */
};

#define ENV_MARKS_MAX 4096

enum path { PATH_HTTPS, PATH_SMTP, PATH_NONE, PATH_COUNT };
enum verdict { VERDICT_OK, VERDICT_REFUSED, VERDICT_DEFERRED, VERDICT_COUNT };

struct counters {
    uint64_t recipients[PATH_COUNT][VERDICT_COUNT];
    uint64_t deliveries[PATH_COUNT]; /* messages to one destination */
    uint64_t milliseconds[PATH_COUNT];
    uint64_t https_failed; /* tries that SMTP had to make good */
    uint64_t connect_failed;
    uint64_t egress_changed;
    uint64_t busy, tripped; /* recipients put off: no slot; breaker open */
    uint64_t too_big, spool_failed;
    struct smtp_counts smtp;
};

struct env {
    struct cm_loop *loop;
    struct dns *dns;
    struct http *http;
    struct wire_tls *tls;
    struct pool *pool; /* SMTP connections between two messages */
    struct sts_store *sts;
    struct egress_watch *egress;
    struct lru *dest_marks; /* struct dest_mark */
    struct lru *host_marks; /* struct host_mark */
    char ehlo[256];         /* our name, unless a gateway has its own */
    const char *spool_dir;
    uint64_t message_max; /* bytes */
    uint16_t https_port, smtp_port;
    bool no_ipv6;
    bool anywhere; /* loopback and private addresses too */
    struct counters counters;
};

#endif
