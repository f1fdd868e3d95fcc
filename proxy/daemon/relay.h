/* relay: one client's connection and its other half to the store, bytes spliced both
 * ways without passing through our memory.
 *
 * Back-pressure: a side is read only while the other takes what was read. A half-close
 * is passed on; an error on one side resets the other. A client that is silent is kept
 * for as long as its TCP answers keep-alives. */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/loop.h"

#define RELAY_CONNECT_MS 5000   /* then the client is reset: it has other addresses */
#define RELAY_STALLED_MS 240000 /* unacknowledged bytes, or keep-alives */
/* A client that says nothing is asked as the store would ask it, before boxes on its
 * way forget it; after four questions without an answer RELAY_STALLED_MS is over. */
#define RELAY_KEEPALIVE_S 120
#define RELAY_ASK_AGAIN_S 30
#define RELAY_PIPES_SHARE 4 /* pipes: one for so many connections, at least 64 */

struct relays;

struct relay_counts {
    uint64_t accepted;
    uint64_t refused;     /* over the limit of connections */
    uint64_t unconnected; /* the store did not answer */
    uint64_t reset;       /* ended by an error or by us, not by a close */
    uint64_t bytes_up;    /* client to store */
    uint64_t bytes_down;
    size_t open;
};

struct relay_target {
    struct sockaddr_storage address; /* of the store, with port */
    socklen_t address_len;
    bool transparent; /* connect from the client's address; else with a PROXY header */
};

/* At most max relays; more are reset at once. gone: a relay to that client has ended;
 * may be NULL. */
struct relays *
relays_new(struct cm_loop *loop, size_t max,
           void (*gone)(const struct sockaddr_storage *client, void *ctx), void *ctx);
/* Resets what is open. */
void relays_free(struct relays **relays);

/* For a listener; what it accepts has it by that (ip(7), tcp(7): inherited). */
void relay_tune_door(int fd);

/* Owns fd: a connection just accepted at such a door, non-blocking. false: refused or
 * not to be connected; the client has been reset, and gone is not called. */
bool relays_add(struct relays *relays, int fd, const struct sockaddr_storage *client,
                const struct relay_target *target);

/* All clients are told at once (RST). Returns how many. */
size_t relays_reset_all(struct relays *relays);

const struct relay_counts *relays_counts(const struct relays *relays);

/* Closes fd so that its peer gets a RST. */
void relay_reset_fd(int fd);

#endif
