/* peer: addresses of other mail servers, and how a reply names them (relay-spec.md 6.7,
 * "Peer formatting"). Pure. */
#ifndef TRANSPORT_PEER_H
#define TRANSPORT_PEER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define PEER_TEXT_MAX      352
#define PEER_ADDRESSES_MAX 8 /* of one host */

struct peer_address {
    int family; /* AF_INET or AF_INET6 */
    union {
        struct in_addr v4;
        struct in6_addr v6;
    } ip;
};

/* Where connections to others leave from: nothing bound, or the inner addresses of a
 * gateway (family by family; one that is absent cannot be used). */
struct peer_source {
    bool bound;
    bool has_v4, has_v6;
    struct in_addr v4;
    struct in6_addr v6;
};

union peer_sockaddr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Returns the length for connect(2) and bind(2). */
socklen_t peer_sockaddr_set(union peer_sockaddr *out, const struct peer_address *a,
                            uint16_t port);
bool peer_address_parse(const char *text, struct peer_address *out);
void peer_address_text(const struct peer_address *a, char out[INET6_ADDRSTRLEN]);
bool peer_address_same(const struct peer_address *a, const struct peer_address *b);

/* May connections to this address leave from there? */
bool peer_source_fits(const struct peer_source *source, int family);
/* Binds a fresh socket of that family; 0, or -1 with errno. */
int peer_source_bind(const struct peer_source *source, int family, int fd);

/* "NAME[IP:PORT]", "IP:PORT" when the host is that address itself (IPv6 in brackets),
 * "NAME[?:?]" when address is NULL. */
void peer_format(const char *host, const struct peer_address *address, uint16_t port,
                 char out[PEER_TEXT_MAX]);

/* Not loopback, not private, not link-local, not multicast: somebody's mail server may
 * be there. */
bool peer_is_public(const struct peer_address *a);

#endif
