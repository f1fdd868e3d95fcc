/* update: asks the primary server of a zone to change records (RFC 2136), signed with a
 * shared key (TSIG, RFC 8945), over TCP. Blocking, DNS_UPDATE_S at most for each of two
 * or a few questions: not for a loop that has clients.
 *
 * Why not nsupdate(1) or knsupdate(1): the key would be in a file for another program,
 * its words would be parsed for what went wrong, and the store's sandbox would have to
 * run programs. */
#ifndef DNS_UPDATE_H
#define DNS_UPDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "key.h"

#define DNS_UPDATE_S     10
#define DNS_CHANGES_MAX  256
#define DNS_PRIMARY_TEXT 262

struct dns_primary {
    char host[256]; /* name or numeric address */
    uint16_t port;
    char zone[256]; /* with final dot; "" before dns_find_zone() */
};

/* "192.0.2.1", "2001:db8::1@5353", "ns1.example.net". Pure. */
CM_MUSTUSE int dns_primary_parse(const char *text, struct dns_primary *primary_r,
                                 struct cm_err *err);

/* Fills primary->zone: the nearest ancestor of name that this server is authoritative
 * for. REFUSE when it serves none; RETRY when it does not answer. */
CM_MUSTUSE int dns_find_zone(struct dns_primary *primary, const char *name,
                             struct cm_err *err);

struct dns_change {
    bool add;         /* else: this very record goes; others of its set stay */
    const char *name; /* with final dot */
    const char *type;
    const char *data; /* as in a zone file */
    uint32_t ttl;
};

/* All of them or none, in that order, and nobody sees a state between; what is so
 * already is no error. kind RETRY: no answer, or trouble of the server;
 * REFUSE: it will not, and the text says why. */
CM_MUSTUSE int dns_update(const struct dns_primary *primary, const struct dns_key *key,
                          const struct dns_change *changes, size_t count,
                          struct cm_err *err);

#endif
