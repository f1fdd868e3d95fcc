/* proxied: the store's listeners for gateways whose proxy cannot keep the clients'
 * addresses and names them by PROXY v2 (proxy_protocol = yes), as text for the files of
 * Postfix, Dovecot and nginx. At the tunnel's own addresses, port + CM_HEADER_PORTS. */
#ifndef OP_PROXIED_H
#define OP_PROXIED_H

#include "common/conf.h"
#include "common/err.h"

struct op_proxied {
    char *smtp;  /* entries of master.cf */
    char *near;  /* "10.77.1.2 fd77:1::2": our ends */
    char *far;   /* "10.77.1.1/32 fd77:1::1/128": who is believed */
    char *https; /* lines of nginx, stream: where it listens for 443 */
    char *http;  /* the same, http: for 80 */
    char *from;  /* who is believed */
};

/* All are "" when no gateway asks for it; none ends in a line feed. text: the template
 * of the entries for one address of ours. */
CM_MUSTUSE int op_proxied_make(const struct cm_conf *conf, const char *text, bool ipv6,
                               struct op_proxied *proxied_r, struct cm_err *err);
void op_proxied_clear(struct op_proxied *proxied);

#endif
