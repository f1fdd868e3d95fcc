/* dkim_servers: which resolvers are asked. From a list in the settings, or from
 * resolv.conf ("nameserver" lines; its options are not used). */
#ifndef FILTER_DKIM_SERVERS_H
#define FILTER_DKIM_SERVERS_H

#include <stddef.h>
#include <sys/socket.h>

#include "common/err.h"

#define DKIM_SERVERS_MAX 3 /* as in resolv.conf(5); further ones are not used */

struct dkim_servers {
    unsigned count;
    struct sockaddr_storage address[DKIM_SERVERS_MAX];
    socklen_t len[DKIM_SERVERS_MAX];
};

/* list: "ADDRESS" or "ADDRESS@PORT", blanks between. At least one. */
CM_MUSTUSE int dkim_servers_parse(struct dkim_servers *s, const char *list,
                                  struct cm_err *err);

/* text: contents of a resolv.conf; "@PORT" is understood there too. Without a usable
 * line: 127.0.0.1, as in glibc. */
void dkim_servers_resolv_conf(struct dkim_servers *s, const char *text);

#endif
