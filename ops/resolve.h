/* resolve: asks the zone's own servers, so that no cache stands between. ldns behind
 * this one file. */
#ifndef OP_RESOLVE_H
#define OP_RESOLVE_H

#include <stddef.h>

#include "common/err.h"

#define OP_SERVERS_MAX 16
#define OP_ANSWERS_MAX 64

struct op_server {
    char name[256];
    char address[46]; /* "" asks the resolver of /etc/resolv.conf */
};

struct op_servers {
    struct op_server items[OP_SERVERS_MAX];
    size_t count;
};

struct op_answers {
    char *items[OP_ANSWERS_MAX]; /* data as in a zone file */
    size_t count;
};

/* The authoritative servers of the zone that holds `domain`, every address of each.
 * Found through /etc/resolv.conf. Empty when nobody names any. */
CM_MUSTUSE int op_resolve_servers(const char *domain, struct op_servers *out,
                                  struct cm_err *err);
/* Records of that very type; none is an answer too. -1: the server does not answer or
 * refuses. */
CM_MUSTUSE int op_resolve(const struct op_server *server, const char *name,
                          const char *type, struct op_answers *out, struct cm_err *err);
void op_answers_clear(struct op_answers *a);

#endif
