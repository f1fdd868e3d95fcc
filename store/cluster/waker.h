/* waker: wakes the phones of the accounts that were connected through a gateway.
 *
 * Who they are is read from what there is: the peers of the sockets on the store's
 * inner address of that tunnel (ss), and Dovecot's list of who is connected from where
 * (doveadm who). An account is woken when it is connected from an address that a socket
 * there comes from; behind one address there may be others, who are woken for nothing.
 * Of a gateway whose proxy names its clients (PROXY v2) the sockets say nothing: woken
 * is then who is connected from an address that no socket elsewhere comes from. Then
 * chatmail-push is rung for each (common/doorbell.h), which wakes all devices of the
 * account.
 *
 * On worker threads. At most WAKER_ACCOUNTS_MAX accounts for one gateway. */
#ifndef WAKER_H
#define WAKER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/loop.h"
#include "proxy/state.h"

#define WAKER_ACCOUNTS_MAX 20000
#define WAKER_PEERS_MAX    40000
#define WAKER_THREADS      4

struct waker;

struct waker_result {
    int number;
    size_t accounts; /* that were connected */
    size_t rung;     /* of these: chatmail-push has taken it */
    char why[256];   /* the first that went wrong; "" */
};

struct waker_options {
    const char *doveadm, *ss; /* programs; NULL: "doveadm", "ss" */
    const char *bell, *spool; /* NULL: those of doorbell.h */
    void (*done)(const struct waker_result *result, void *ctx);
    void *ctx;
};

struct waker *waker_new(struct cm_loop *loop, const struct waker_options *options);
void waker_free(struct waker **waker); /* waits for what runs */
/* One at a time for each gateway; done is called later, exactly once. False: it is
 * under way already. */
bool waker_go(struct waker *waker, int number, bool by_header);

/* Pure. Addresses of the other ends in what "ss -Htn" printed, as 16 bytes (IPv4
 * mapped), sorted, each once. Returns how many. */
size_t waker_peers(const char *ss_text, unsigned char (*peers)[16], size_t max);
/* Pure. Accounts in what "doveadm -f tab who -1" printed that are connected by IMAP
 * from one of those, or (among = false) from none of them; sorted, each once. Each is
 * the caller's to free. */
size_t waker_accounts(const char *who_text, const unsigned char (*peers)[16],
                      size_t peer_count, bool among, char **accounts, size_t max);

#endif
