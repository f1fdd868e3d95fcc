/* egress: through which gateways mail may leave now, as chatmail-cluster writes it down
 * (store/cluster/egress_file.h), and which of them to take.
 *
 * The file has one line per healthy egress gateway, best first: its number, the inner
 * IPv4 and IPv6 addresses to bind to ("-": that family cannot leave there), the EHLO
 * name ("-": the usual one), its weight (may be absent: 0). The one word "direct":
 * nothing is bound. An empty file: no gateway is healthy, and mail waits. */
#ifndef TRANSPORT_EGRESS_H
#define TRANSPORT_EGRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/conf.h"
#include "common/err.h"
#include "peer.h"

#define EGRESS_NAME_MAX 256

struct egress {
    int number; /* of the gateway; 0: direct */
    struct peer_source source;
    char ehlo[EGRESS_NAME_MAX]; /* "" : the usual one */
    unsigned weight;            /* its share; all 0: the first takes all */
};

struct egress_list {
    struct egress items[CM_GATEWAYS_MAX];
    size_t count;
};

/* Pure. An error leaves the list as it is. */
CM_MUSTUSE int egress_parse(const char *text, size_t len, struct egress_list *out,
                            struct cm_err *err);

/* The list as it is now. path NULL: direct. required: mail must not leave past the
 * gateways, so a missing file means that none is known to be healthy yet. */
struct egress_watch;
struct egress_watch *egress_watch_new(const char *path);
void egress_watch_free(struct egress_watch **watch);
void egress_watch_require(struct egress_watch *watch, bool required);
/* Reads the file again when it was replaced; a faulty one is logged and changes
 * nothing. Valid until the next call. */
const struct egress_list *egress_now(struct egress_watch *watch);

/* The one with this number, or else the one that falls to `key` (a destination): each
 * gets a share of all keys by its weight, and a key stays with its gateway as long as
 * the list is the same. SIZE_MAX when the list is empty. */
size_t egress_choose(const struct egress_list *list, int number, const char *key);

/* Index of the one with this number, or of the first; SIZE_MAX when the list is empty.
 */
size_t egress_find(const struct egress_list *list, int number);

#endif
