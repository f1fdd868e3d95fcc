/* dnsfixture: throw-away name servers on loopback for tests: Knot, which is
 * authoritative, takes updates and transfers, and Unbound, which resolves and caches.
 * NULL where they are not installed. What is unexpected ends the test program. */
#ifndef DNSFIXTURE_H
#define DNSFIXTURE_H

#include <stdint.h>

#define DNSFIXTURE_KEY    "portico" /* hmac-sha256; may change all zones */
#define DNSFIXTURE_SECRET "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTI=" /* base64 */

struct dnsfixture;

/* records: zone file text after $ORIGIN and $TTL 300, with SOA and NS of its own. */
struct dnsfixture *dnsfixture_knot(const char *zone, const char *records);
/* The same zone, fetched from primary when it begins; later changes never reach it. */
struct dnsfixture *dnsfixture_secondary(const char *zone,
                                        const struct dnsfixture *primary);
/* Asks that server for the zone, and for everything below; nobody else. */
struct dnsfixture *dnsfixture_unbound(const char *zone, const struct dnsfixture *of);
uint16_t dnsfixture_port(const struct dnsfixture *fx); /* on 127.0.0.1, UDP and TCP */
void dnsfixture_free(struct dnsfixture **fx);          /* accepts a pointer to NULL */

#endif
