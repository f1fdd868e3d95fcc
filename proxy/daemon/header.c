#include "header.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

static const unsigned char signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                            0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

#define VERSION_2_PROXY 0x21
#define TCP_OVER_IPV4   0x11
#define TCP_OVER_IPV6   0x21

/* Address and port in network order; the length of the address, 0 for no IP. */
static size_t parts(const struct sockaddr_storage *from, unsigned char address[16],
                    in_port_t *port)
{
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        memcpy(address, &in->sin_addr, 4);
        *port = in->sin_port;
        return 4;
    }
    if (from->ss_family != AF_INET6) {
        return 0;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
    bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
    *port = in6->sin6_port;
    memcpy(address, in6->sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
    return mapped ? 4 : 16;
}

size_t header_v2(const struct sockaddr_storage *source,
                 const struct sockaddr_storage *destination,
                 unsigned char out[HEADER_MAX])
{
    unsigned char from[16], to[16];
    in_port_t from_port, to_port;
    size_t n = parts(source, from, &from_port);

    if (n == 0 || parts(destination, to, &to_port) != n) {
        return 0;
    }
    size_t body = 2 * n + 2 * sizeof(in_port_t);
    memcpy(out, signature, sizeof(signature));
    out[12] = VERSION_2_PROXY;
    out[13] = n == 4 ? TCP_OVER_IPV4 : TCP_OVER_IPV6;
    out[14] = 0;
    out[15] = (unsigned char)body;
    memcpy(out + 16, from, n);
    memcpy(out + 16 + n, to, n);
    memcpy(out + 16 + 2 * n, &from_port, sizeof(from_port));
    memcpy(out + 16 + 2 * n + sizeof(from_port), &to_port, sizeof(to_port));
    return 16 + body;
}
