/* probe: knocks at one TCP port as a client would: connects, begins TLS where asked,
 * reads the greeting, says goodbye. On the loop; a probe takes PX_PROBE_MS at most. */
#ifndef PX_PROBE_H
#define PX_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/loop.h"

#define PX_PROBE_MS 5000

enum px_probe_result {
    PX_PROBE_NONE, /* not tried, or there is no way there: shows nothing */
    PX_PROBE_OK,
    PX_PROBE_REFUSED, /* RST, also in the middle */
    PX_PROBE_SILENT,  /* no answer within PX_PROBE_MS */
    PX_PROBE_WRONG,   /* another greeting, no TLS, another name, an old certificate */
};

/* "none", "ok", "refused", "silent", "wrong". */
const char *px_probe_name(enum px_probe_result result);
/* False: not one of these. */
bool px_probe_parse(const char *name, enum px_probe_result *out);

/* What is spoken at a port. */
struct px_probe_tls; /* how to do TLS; there is one way (probe_tls.c) */
struct px_probe_speech {
    const struct px_probe_tls *tls; /* NULL: in clear */
    const char *greeting; /* how the first line begins; NULL: none is awaited */
    const char *goodbye;  /* said after it; NULL: nothing */
};

/* Of the ports of a relay: 25, 143, 443 and 993, and of any. A program that names no
 * other than those in clear does not load libssl. */
extern const struct px_probe_speech px_speech_smtp, px_speech_imap, px_speech_tls,
    px_speech_imaps, px_speech_connect;

struct px_probe_order {
    struct sockaddr_storage to;           /* with port */
    struct sockaddr_storage from;         /* ss_family 0: whatever the kernel takes */
    const struct px_probe_speech *speech; /* borrowed */
    const char *name; /* SNI, and what the certificate must be for; borrowed */
};

struct px_prober;
struct px_prober *px_prober_new(struct cm_loop *loop);
void px_prober_free(struct px_prober **prober); /* no callback for what is under way */

/* ms: from the start to the result. Called once, never before px_probe() returns. */
typedef void (*px_probe_cb)(enum px_probe_result result, int64_t ms, void *ctx);
void px_probe(struct px_prober *prober, const struct px_probe_order *order,
              px_probe_cb cb, void *ctx);

/* Numeric address and port. False: not an address. */
bool px_probe_address(const char *text, uint16_t port, struct sockaddr_storage *out);

#endif
