/* source: where packets come from, as one number for each subscriber: an IPv4 address,
 * or the /64 of an IPv6 address, because whoever has one address of a /64 has them all.
 *
 * Sixteen bytes in network order: "::ffff:a.b.c.d", or a prefix with 64 zero bits
 * behind it. Comparing bytes compares sources. */
#ifndef CM_SOURCE_H
#define CM_SOURCE_H

#include <stdbool.h>

#include "common/err.h"

#define CM_SOURCE_LEN  16
#define CM_SOURCE_TEXT 50 /* with "/64" and NUL */

/* A numeric address ("203.0.113.7", "2001:db8::1", "::ffff:203.0.113.7"), or one with
 * "/32" or "/64" behind it, as cm_source_text() writes a prefix. REFUSE else. */
CM_MUSTUSE int cm_source_parse(const char *text, unsigned char out[CM_SOURCE_LEN],
                               struct cm_err *err);
bool cm_source_is_v6(const unsigned char source[CM_SOURCE_LEN]);
/* Whether a client on the Internet can have it: no loopback, private, link-local,
 * multicast or tunnel address. The documentation networks count as public. */
bool cm_source_is_public(const unsigned char source[CM_SOURCE_LEN]);
/* "203.0.113.7" or "2001:db8:1:2::"; with `prefix` the second ends in "/64". */
void cm_source_text(const unsigned char source[CM_SOURCE_LEN], bool prefix,
                    char out[CM_SOURCE_TEXT]);

#endif
