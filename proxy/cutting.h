/* cutting: lets the packets of a tunnel be cut to pieces (IPv4 fragmentation) where a
 * path is too narrow for them.
 *
 * Kernel WireGuard lets it happen by itself. wireguard-go forbids it (DF, RFC 791),
 * because Linux sets out so for every UDP socket (ip(7), IP_MTU_DISCOVER), and where a
 * narrow path tells nobody that it is one its large packets never arrive. So its
 * sockets are borrowed with pidfd_getfd(2) and told otherwise, which costs a packet
 * nothing. For that the caller has the uid of wireguard-go and all of its capabilities,
 * and it runs in the foreground (-f): it is found by who listens on its control socket.
 * Where that is refused, as in some containers, rules do it packet by packet. In IPv6
 * only a sender cuts anything, and does. */
#ifndef PX_CUTTING_H
#define PX_CUTTING_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define PX_LINK_NAME 16 /* bytes, as the kernel's IFNAMSIZ */

/* Sees to it for n links that are up; where their sockets are out of reach, with rules
 * in "table inet chatmail_cutting" for the packets that `match` means, written as nft
 * lists it ("udp sport 51820"); they go when they are needed no more. *changed_r is set
 * when these rules came or went. Another socket is opened when a link was down, or with
 * another port: to be called again and again. Blocks as apply.h does, and up to half a
 * second for a socket that has not been opened yet. */
CM_MUSTUSE int px_cutting_settle(const char links[][PX_LINK_NAME], size_t n,
                                 const char *match, bool *changed_r,
                                 struct cm_err *err);

#endif
