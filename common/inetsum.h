/* inetsum: the checksum of IP, ICMP, TCP and UDP (RFC 1071). */
#ifndef CM_INETSUM_H
#define CM_INETSUM_H

#include <stddef.h>
#include <stdint.h>

/* Adds data to a sum, which is 0 at first; up to 64 KiB in all. A last odd byte counts
 * as if a zero followed, so only the last piece may have one. */
uint32_t cm_inetsum_add(uint32_t sum, const void *data, size_t len);
/* What goes into the packet, in the network's order. */
uint16_t cm_inetsum_done(uint32_t sum);

#endif
