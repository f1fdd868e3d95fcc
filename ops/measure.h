/* measure: what a gateway does for those who come by it, seen from this machine.
 *
 * For each public address: which of the public ports answer, from which address the
 * store saw us come (its web server logs a request that only we could make), how long a
 * question to the store and back takes, and to the gateway alone, and whether full
 * segments pass in both directions (the web server answers a long name with a long
 * name). Changes nothing; bounded in time by the limits in measure.c. */
#ifndef OP_MEASURE_H
#define OP_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster.h"
#include "common/err.h"
#include "reach.h"

#define OP_DOORS_MAX 16
#define OP_TOKEN_LEN 32

struct op_door {
    int port;
    enum op_reach result;
    char said[120]; /* why not */
};

struct op_view {
    char address[46];
    bool no_route; /* this machine has no such family: nothing else is known */
    struct op_door doors[OP_DOORS_MAX];
    size_t door_count;

    char token[OP_TOKEN_LEN + 1]; /* what was asked for */
    char here[46];                /* this machine's own address on the way there */
    char seen[46];                /* who asked, as the store logged it; "" not found */

    int64_t store_us, gateway_us; /* there and back, the fastest; -1: not known */

    bool full;        /* segments passed in both directions */
    char stuck[120];  /* why not */
    int64_t up, down; /* bytes */
    int out_segment, in_segment;
    unsigned again; /* segments sent again */
};

/* Who is it that the store saw? */
enum op_seen {
    OP_SEEN_US,      /* this machine's own address */
    OP_SEEN_NAT,     /* this machine is behind a NAT; a public address */
    OP_SEEN_NOBODY,  /* the store's log does not have it */
    OP_SEEN_ANOTHER, /* the gateway itself, or an address inside: not ours */
};

/* How long an answer may take: a black hole for large packets ends there. Tests turn it
 * down. */
extern int64_t op_measure_answer_ms;

/* Fills one view for each address; returns their number. ssh_port: of the gateway, 0
 * when it is not known. */
size_t op_measure(const struct op_node *gateway, const char *domain, int ssh_port,
                  struct op_view views[CM_ADDRESSES_MAX]);
/* Asks the store's log for the tokens. -1: it cannot be asked. */
CM_MUSTUSE int op_measure_seen(struct op_host *store, struct op_view *views, size_t n,
                               struct cm_err *err);

/* Pure. Takes lines 'ADDRESS "GET HOST/TOKEN..." 301 300' of the log. */
void op_measure_take_log(const char *lines, struct op_view *views, size_t n);
enum op_seen op_measure_who(const struct op_view *view,
                            const struct cm_conf_gateway *gateway);
/* Is anything wrong that is the gateway's or the store's, not this machine's line? why:
 * the first. */
bool op_measure_wrong(const struct op_view *view, const struct cm_conf_gateway *gateway,
                      char *why, size_t size);

/* Prints; JSON as an array of views (caller owns the reference). */
void op_measure_say(const struct op_view *views, size_t n,
                    const struct cm_conf_gateway *gateway);
struct json_t *op_measure_json(const struct op_view *views, size_t n,
                               const struct cm_conf_gateway *gateway);

#endif
