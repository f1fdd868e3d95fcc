/* look: asks every authoritative server of the zone, and the resolver, for what a relay
 * needs, and says what is missing, wrong, or only not visible yet.
 *
 * A server or gateway that this machine has no way to (IPv6, at most homes) is not
 * asked, and is no fault.
 *
 * A set is right when all servers that answer have it and the resolver shows it. It is
 * pending when a server with an older serial is the only one without it, or when only
 * the resolver still has what was there before. SPF is evaluated for each address that
 * mail leaves from (spf.h): any record that passes them all is right. */
#ifndef OP_LOOK_H
#define OP_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "resolve.h"
#include "zone.h"

#define OP_WHY_MAX 1024

struct op_authority {
    struct op_server at;
    bool hidden;   /* not among the zone's NS: the primary that the operator named */
    bool answers;  /* with authority for the zone */
    bool no_route; /* this machine has no way to such an address; it was not asked */
    bool lost;     /* among the zone's NS, and nobody knows its address; not asked */
    char why[256]; /* when it does not */
    uint32_t serial;
    bool stale; /* another has a newer one */
};

struct op_finding {
    size_t first, n;
    enum op_verdict verdict;
    char published[OP_WHY_MAX]; /* of ours, where it is not right */
    char why[OP_WHY_MAX];       /* a sentence part, or "" */
    int64_t ttl_s; /* pending at the resolver: how long still; -1 unknown */
};

struct op_look {
    struct op_zone zone;       /* what is wanted; owned */
    const char *domain;        /* without final dot */
    char origin[256];          /* the zone's name, with final dot; "" unknown */
    struct op_server resolver; /* address "": that of /etc/resolv.conf */
    struct op_authority servers[OP_SERVERS_MAX + 1];
    size_t server_count;
    struct op_finding *findings; /* one for each set */
    size_t count;
    struct op_policy {
        char address[46]; /* through which gateway */
        bool tried;       /* false: this machine has no way to such an address */
        bool right;
        char why[256];
    } policies[CM_GATEWAYS_MAX * CM_ADDRESSES_MAX]; /* MTA-STS; none without a policy */
    size_t policy_count;
};

/* Finds the servers through the resolver. primary (may be NULL) is asked too. */
CM_MUSTUSE int op_look_servers(struct op_look *look, const struct op_server *primary,
                               struct cm_err *err);
/* The same for servers that are known already: fills answers, serial and stale. */
void op_look_probe(struct op_look *look);
/* Fills findings. -1: nobody at all answers. */
CM_MUSTUSE int op_look_judge(struct op_look *look, struct cm_err *err);
/* One set at one server, for who changes it: verdict, and what is published there,
 * which the caller clears. */
CM_MUSTUSE int op_look_at(const struct op_look *look, const struct op_server *server,
                          size_t first, struct op_finding *finding_r,
                          struct op_answers *published_r, struct cm_err *err);
/* A reverse record that is right at its place is wrong when the domain does not lead
 * back to the address (FCrDNS). */
void op_look_forward(const struct op_look *look, struct op_finding *finding);
/* Fetches the MTA-STS policy through every address of the domain, where there shall be
 * one. */
void op_look_policies(struct op_look *look);
void op_look_clear(struct op_look *look);

const char *op_verdict_name(enum op_verdict verdict); /* "not yet visible" */
/* Servers that answer for the zone. */
size_t op_look_answering(const struct op_look *look);
/* Sets that are missing, wrong or not known. */
size_t op_look_bad(const struct op_look *look, bool required);

#endif
