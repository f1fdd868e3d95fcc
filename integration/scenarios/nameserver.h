/* nameserver: real name servers of this machine, Knot and BIND, and a web server for
 * the MTA-STS policy, at addresses of their own in the lab's node dns, port 53 and 443.
 * They die with the scenario's process; their addresses stay until
 * nameserver_addresses_back(). */
#ifndef SCENARIOS_NAMESERVER_H
#define SCENARIOS_NAMESERVER_H

#include "common/err.h"

#include "stage.h"

#define NAMESERVER_KEY    "portico"
#define NAMESERVER_SECRET "bGFib25seWxhYm9ubHlsYWJvbmx5bGFib25seWxhYm8=" /* base64 */

/* Where they may be; nothing else of the lab has these. */
#define NS_ONE  "198.51.100.55"
#define NS_TWO  "198.51.100.56"
#define NS_SIX  "2001:db8:1::57"
#define NS_NONE "198.51.100.57" /* an address where nobody listens */

struct nameserver;

struct nameserver_how {
    bool bind; /* else Knot */
    const char *address;
    const char *zone; /* with final dot */
    /* Zone file text after $ORIGIN and $TTL 300, with SOA and NS; NULL: a secondary. */
    const char *records;
    const char *primary; /* where a secondary fetches it */
    const char *tell;    /* a secondary that hears of changes, or NULL */
    const char *only; /* names below this one may be changed with the key; NULL all */
};

/* Waits until it answers for the zone. NULL with err. */
struct nameserver *nameserver_start(struct stage *stage,
                                    const struct nameserver_how *how,
                                    struct cm_err *err);
/* GET /.well-known/mta-sts.txt over HTTPS. cert: PEM file of certificate and key. */
struct nameserver *nameserver_policy(struct stage *stage, const char *address,
                                     const char *cert, const char *policy,
                                     struct cm_err *err);
void nameserver_stop(struct nameserver **server); /* accepts a pointer to NULL */

CM_MUSTUSE int nameserver_address(struct stage *stage, const char *address,
                                  struct cm_err *err);
/* Takes away all that nameserver_address() gave. */
CM_MUSTUSE int nameserver_addresses_back(struct stage *stage, struct cm_err *err);

#endif
