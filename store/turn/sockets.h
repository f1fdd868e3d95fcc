/* sockets: how many relayed ports coturn holds, read off the kernel's table of UDP
 * sockets. Pure. */
#ifndef TURN_SOCKETS_H
#define TURN_SOCKETS_H

#include <stddef.h>

#include "settings.h"

/* text: /proc/net/udp or /proc/net/udp6. Sockets at one of the listening addresses with
 * a port of the range; each is a relayed address that some caller was given. */
size_t sockets_count(const char *text, const struct settings *settings);

#endif
