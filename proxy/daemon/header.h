/* header: the PROXY protocol header, version 2 (HAProxy's proxy-protocol.txt 2.2),
 * which tells the store who the client is where its address cannot be kept. Pure. */
#ifndef PROXY_HEADER_H
#define PROXY_HEADER_H

#include <stddef.h>
#include <sys/socket.h>

#define HEADER_MAX 52 /* 16 and, for IPv6, 36 bytes of addresses */

/* Of a TCP connection from `source` to `destination`, both IPv4 or both IPv6; an
 * IPv4-mapped IPv6 address counts as IPv4. Returns the length written to out, 0 when
 * the families differ or are others. */
size_t header_v2(const struct sockaddr_storage *source,
                 const struct sockaddr_storage *destination,
                 unsigned char out[HEADER_MAX]);

#endif
