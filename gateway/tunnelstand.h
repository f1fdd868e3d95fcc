/* tunnelstand: the real chatmail-gateway against a real kernel: a client, a gateway and
 * a store, each in a network namespace of its own, with WireGuard between the last two.
 * The store's end is made by proxy/apply and a stand-in for chatmail-cluster that
 * serves whatever envelope lies in a file. Needs root, nft, ip, wg; wireguard-go where
 * the kernel has no WireGuard. Inside cmocka tests only.
 *
 *   client 198.51.100.40 -- .11 gateway 10.9.0.1 -- 10.9.0.2 store */
#ifndef GW_TUNNELSTAND_H
#define GW_TUNNELSTAND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proxy/report.h"
#include "proxy/state.h"

enum { CLIENT, GATEWAY, STORE, HOSTS };

struct stand {
    pid_t host[HOSTS];
    pid_t daemon; /* chatmail-gateway */
    pid_t server; /* the stand-in, with ports 25, 993, 5432 and UDP 3478 of the store */
    pid_t tunnels[2]; /* wireguard-go of gateway and store; 0: the kernel's WireGuard */
    struct px_state state;    /* what the next stand_publish publishes */
    volatile unsigned *asked; /* questions that the stand-in has answered; shared */
};
extern struct stand stand;

/* Fixtures of the group: all is up, epoch 5 is published, and taken soon. */
int stand_up(void **state);
int stand_down(void **state);

/* Its path: "envelope", "report", "log" (of the daemon). Valid until the next call. */
char *stand_file(const char *name);

/* What listens in that host on 25, 993 and 5432 and says who came; but for the GATEWAY
 * on UDP 3478; STORE: the bus too. */
pid_t stand_serve(int which);
void stand_start(void); /* the daemon */

/* Signed, and there to be fetched. */
void stand_publish(int64_t epoch, enum cm_mode mode);
/* Waits until the store has a report of that epoch. */
void stand_report(int64_t epoch, struct px_report *report);

/* Connects from that host; `said` is what the other end said. 0 or an errno. With keep
 * the connection stays, until stand_alive asks whether it still carries a byte. */
int stand_dial(int which, const char *address, int port, char said[64], int *keep);
bool stand_alive(int keep);

/* A word of so many bytes, 4096 at most, over UDP from that host, its address `from`
 * and its port to port 3478, and what the other end said of it. 0 or an errno; EAGAIN:
 * nothing within a second. */
int stand_call(int which, const char *from, int port, const char *address, size_t len,
               char said[64]);

/* A client that connects to port 993 there and then only waits. 0, and *waits: a
 * descriptor that has a byte to read when it was told: 'r' by a RST, 'f' by a FIN. */
int stand_wait_at(const char *address, int *waits);

#endif
