/* policy: the MTA-STS policy (RFC 8461) as a sender would fetch it, through each
 * gateway. libcurl behind this one file. */
#ifndef OP_POLICY_H
#define OP_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#define OP_POLICY_MAX 65536 /* bytes; RFC 8461 3.2 */

/* Pure. Is it a policy that lets mail come to this domain's own name? why: what is
 * wrong. */
bool op_policy_is_right(const char *text, const char *domain, char *why, size_t size);

/* GET https://mta-sts.DOMAIN/.well-known/mta-sts.txt from that address, with a
 * certificate that is trusted here ($SSL_CERT_FILE, else the system's). */
bool op_policy_check(const char *domain, const char *address, char *why, size_t size);

#endif
