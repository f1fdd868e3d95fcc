/* resolve: asks one server, the zone's own so that no cache stands between, or a
 * resolver. ldns behind this one file. */
#ifndef OP_RESOLVE_H
#define OP_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define OP_SERVERS_MAX 16
#define OP_ANSWERS_MAX 64

struct op_server {
    char name[256];
    char address[46]; /* "" asks the resolver of /etc/resolv.conf */
    uint16_t port;    /* 0: 53 */
    bool recursive;   /* a resolver; "" is one anyway */
};

struct op_servers {
    struct op_server items[OP_SERVERS_MAX];
    size_t count;
    char lost[OP_SERVERS_MAX][256]; /* named, and the resolver knows no address */
    size_t lost_count;
};

struct op_answers {
    char *items[OP_ANSWERS_MAX]; /* data as in a zone file */
    size_t count;
    int64_t
        ttl_s; /* the shortest; of an empty answer how long it is kept; -1: unknown */
    bool authoritative;
    char alias[256]; /* the name is a CNAME of this one; "" */
};

/* The authoritative servers of the zone that holds `domain`, every address of each, and
 * that zone's name, with final dot. Found through resolver. Empty when nobody names
 * any. */
CM_MUSTUSE int op_resolve_servers(const struct op_server *resolver, const char *domain,
                                  struct op_servers *out, char zone_r[256],
                                  struct cm_err *err);
/* Records of that very type, behind aliases too; none is an answer too. -1: the server
 * does not answer or refuses. The caller clears out, if it fails too. */
CM_MUSTUSE int op_resolve(const struct op_server *server, const char *name,
                          const char *type, struct op_answers *out, struct cm_err *err);
void op_answers_clear(struct op_answers *a);

#endif
