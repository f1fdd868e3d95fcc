#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

socklen_t peer_sockaddr_set(union peer_sockaddr *out, const struct peer_address *a,
                            uint16_t port)
{
    memset(out, 0, sizeof(*out));
    if (a->family == AF_INET) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        out->v4.sin_addr = a->ip.v4;
        return sizeof(out->v4);
    }
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(port);
    out->v6.sin6_addr = a->ip.v6;
    return sizeof(out->v6);
}

bool peer_address_parse(const char *text, struct peer_address *out)
{
    struct peer_address a = {.family = AF_INET};
    if (inet_pton(AF_INET, text, &a.ip.v4) != 1) {
        a.family = AF_INET6;
        if (inet_pton(AF_INET6, text, &a.ip.v6) != 1) {
            return false;
        }
    }
    *out = a;
    return true;
}

void peer_address_text(const struct peer_address *a, char out[INET6_ADDRSTRLEN])
{
    inet_ntop(a->family, &a->ip, out, INET6_ADDRSTRLEN);
}

bool peer_address_same(const struct peer_address *a, const struct peer_address *b)
{
    return a->family == b->family &&
           (a->family == AF_INET ? a->ip.v4.s_addr == b->ip.v4.s_addr
                                 : memcmp(&a->ip.v6, &b->ip.v6, sizeof(a->ip.v6)) == 0);
}

bool peer_source_fits(const struct peer_source *source, int family)
{
    return !source->bound || (family == AF_INET ? source->has_v4 : source->has_v6);
}

int peer_source_bind(const struct peer_source *source, int family, int fd)
{
    if (!source->bound) {
        return 0;
    }
    if (!peer_source_fits(source, family)) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    struct peer_address a = {.family = family};
    if (family == AF_INET) {
        a.ip.v4 = source->v4;
    } else {
        a.ip.v6 = source->v6;
    }
    union peer_sockaddr to;
    socklen_t len = peer_sockaddr_set(&to, &a, 0);
    int on = 1; /* the port is chosen at connect(), so that there are enough of them */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    return bind(fd, &to.any, len);
}

void peer_format(const char *host, const struct peer_address *address, uint16_t port,
                 char out[PEER_TEXT_MAX])
{
    if (address == NULL) {
        snprintf(out, PEER_TEXT_MAX, "%s[?:?]", host);
        return;
    }
    char ip[INET6_ADDRSTRLEN], pair[INET6_ADDRSTRLEN + 10];
    struct peer_address self;
    peer_address_text(address, ip);
    snprintf(pair, sizeof(pair), address->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip,
             port);
    if (peer_address_parse(host, &self)) {
        snprintf(out, PEER_TEXT_MAX, "%s", pair);
    } else {
        snprintf(out, PEER_TEXT_MAX, "%s[%s]", host, pair);
    }
}

struct net4 {
    uint32_t net;
    unsigned bits;
};

static bool public4(uint32_t ip)
{
    static const struct net4 nets[] = {
        {0x00000000, 8},  {0x0a000000, 8},  {0x7f000000, 8}, {0xa9fe0000, 16},
        {0xac100000, 12}, {0xc0a80000, 16}, {0xe0000000, 3}};
    for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
        if (ip >> (32 - nets[i].bits) == nets[i].net >> (32 - nets[i].bits)) {
            return false;
        }
    }
    return true;
}

bool peer_is_public(const struct peer_address *a)
{
    if (a->family == AF_INET) {
        return public4(ntohl(a->ip.v4.s_addr));
    }
    const struct in6_addr *ip = &a->ip.v6;
    if (IN6_IS_ADDR_V4MAPPED(ip)) {
        uint32_t v4;
        memcpy(&v4, ip->s6_addr + 12, sizeof(v4));
        return public4(ntohl(v4));
    }
    return !IN6_IS_ADDR_UNSPECIFIED(ip) && !IN6_IS_ADDR_LOOPBACK(ip) &&
           !IN6_IS_ADDR_LINKLOCAL(ip) && !IN6_IS_ADDR_MULTICAST(ip) &&
           (ip->s6_addr[0] & 0xfe) != 0xfc; /* fc00::/7, unique local */
}
