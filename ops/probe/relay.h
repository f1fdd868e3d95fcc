/* relay: a small TURN client over UDP (RFC 8656): one allocation, datagrams through it.
 *
 * Blocking, for tests only. An answer's error code is a result, not a failure: it is
 * what a test asks for. */
#ifndef PROBE_RELAY_H
#define PROBE_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define RELAY_DATA 1200 /* bytes of a datagram, at most */

struct relay_end {
    char host[46]; /* numeric */
    int port;
};

struct relay_to {
    const char *netns; /* as in wire_to */
    struct relay_end server;
    const char *user;
    const char *password;
    int64_t timeout_ms; /* per question, with its repetitions; 0: 4000 */
};

struct relay;

/* Makes the socket; says nothing yet. The strings of `to` must outlive it. */
struct relay *relay_open(const struct relay_to *to, struct cm_err *err);
/* Gives the allocation back. Accepts a pointer to NULL. */
void relay_close(struct relay **relay);

/* Asks for a relayed address, AF_INET or AF_INET6. 0 when answered: *code_r is 0 with
 * *end_r, or the STUN error code (401 wrong credentials, 440 no such family, 486
 * quota). -1 when nobody answers. */
CM_MUSTUSE int relay_allocate(struct relay *relay, int family, struct relay_end *end_r,
                              int *code_r, struct cm_err *err);
/* Lets a peer's address in, its port does not count. 0 when answered: *code_r is 0, or
 * 403 when the server does not relay to it. */
CM_MUSTUSE int relay_permit(struct relay *relay, const struct relay_end *peer,
                            int *code_r, struct cm_err *err);

/* A datagram to a peer, through the relay. */
CM_MUSTUSE int relay_send(struct relay *relay, const struct relay_end *peer,
                          const char *text, struct cm_err *err);
/* The next datagram from a peer: 1 with its text and sender, 0 none in time. */
CM_MUSTUSE int relay_receive(struct relay *relay, int64_t timeout_ms,
                             char text[RELAY_DATA + 1], struct relay_end *peer_r,
                             struct cm_err *err);

/* A plain UDP socket of a peer in that namespace, bound to a free port of host; end_r
 * says which. -1 with err. */
CM_MUSTUSE int relay_peer(const char *netns, const char *host, struct relay_end *end_r,
                          struct cm_err *err);
CM_MUSTUSE int relay_peer_send(int fd, const struct relay_end *to, const char *text,
                               struct cm_err *err);
/* As relay_receive. */
CM_MUSTUSE int relay_peer_receive(int fd, int64_t timeout_ms, char text[RELAY_DATA + 1],
                                  struct relay_end *from_r, struct cm_err *err);

/* Did the server name its software in its last answer? */
bool relay_told_software(const struct relay *relay);

#endif
