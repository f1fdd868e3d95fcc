/* settings: what chatmail-proxy shall do, as chatmail-gateway writes it to
 * /run/chatmail-gateway/proxy.conf:
 *
 *   [proxy]
 *   listen = 198.51.100.11 2001:db8:1::11    public addresses, at most 8
 *   ports = 25 80 143 443 465 587 993         at most 16
 *   store4 = 10.77.1.2                        for clients with IPv4
 *   store6 = fd77:1::2                        for clients with IPv6
 *   source = transparent                      or header: PROXY v2 to port + 12000
 *   connections = 20000                       at most, and of one address (IPv6 /64):
 *   per_source = 4000
 *   mode = active                             off: what is open is reset
 *   leave = yes                               close the doors; end with the last client
 */
#ifndef PROXY_SETTINGS_H
#define PROXY_SETTINGS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/conf.h"
#include "common/err.h"

#define SETTINGS_PORTS_MAX       16
#define SETTINGS_HEADER_PORTS    CM_HEADER_PORTS /* added with source = header */
#define SETTINGS_CONNECTIONS_MAX 200000

struct settings {
    struct sockaddr_storage listen[CM_ADDRESSES_MAX]; /* port 0 */
    size_t listen_count;
    uint16_t ports[SETTINGS_PORTS_MAX];
    size_t port_count;
    bool has_store4, has_store6;
    struct in_addr store4;
    struct in6_addr store6;
    bool transparent;
    int64_t connections;
    int64_t per_source;
    enum cm_mode mode;
    bool leave;
};

/* name: for messages. An error names line, key and what is allowed. */
CM_MUSTUSE int settings_parse(const char *name, const char *text, size_t len,
                              struct settings *settings_r, struct cm_err *err);
CM_MUSTUSE int settings_load(const char *path, struct settings *settings_r,
                             struct cm_err *err);

#endif
