/* state: the desired-state document (docs/bus.md), as plain data.
 *
 * What every gateway should be doing, in one document that all of them get. Its JSON
 * form is canonical: keys sorted, no blanks, integers only, so that a signature over
 * the bytes has one meaning. `format` is "MAJOR.MINOR": an unknown field in the same
 * major is ignored (and kept out of the struct), a newer major is refused.
 *
 * Limits: CM_BUS_MAX bytes, CM_GATEWAYS_MAX gateways. */
#ifndef PX_STATE_H
#define PX_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/err.h"
#include "common/source.h"

#define PX_STATE_MAJOR 1
#define PX_STATE_MINOR                                                                 \
    3 /* 1: turn, gateways[].plane, .egress_weight; 2: limits, bans, budget, agent;    \
         3: header */
#define PX_PORTS_MAX 16
#define PX_BANS_MAX  4096

#define PX_WEIGHT_DEFAULT 100 /* where a document says none */
#define PX_WEIGHT_MAX     1000

struct px_gateway {
    char name[33];
    int number; /* 1..CM_GATEWAYS_MAX; inner net 10.77.NUMBER.0/30 and fd77:NUMBER::/64
                 */
    enum cm_mode mode;
    bool egress;
    int egress_weight; /* 0..1000: share of outgoing mail; 0: the last resort */
    bool by_proxy;     /* chatmail-proxy carries TCP; else the kernel does */
    bool by_header;    /* the proxy says who the client is (PROXY v2); not by kernel */
    bool agentless;    /* nobody reports: it is set up by hand */
    bool crowded;      /* in no document: its node has no room for new connections */
    bool carried;      /* in no document: programs of its node carry what is open */
    bool tracked;      /* in no document: other rules of its node track connections */
    char addresses[CM_ADDRESSES_MAX][46]; /* public, v4 and v6, numeric */
    size_t address_count;
    char endpoint[64]; /* host the store dials, numeric or name */
    int wg_port;
    char wg_public_key[45]; /* of the gateway, base64 */
    int64_t budget;         /* bytes in a month, in and out together; 0: none */
};

/* UDP ports that are forwarded so that phones can call each other: the TURN server's
 * and the range that it relays on. port 0: none. */
struct px_turn {
    uint16_t port;
    uint16_t relay_min,
        relay_max; /* from 1024 on; without port, and no wg_port in it */
};

/* What a gateway takes of new TCP connections, per second; a rate of 0: no limit. */
struct px_limits {
    int source_rate;   /* from one source (common/source.h) */
    int source_burst;  /* at once, before the rate counts */
    int stranger_rate; /* of all sources together that never finished a handshake */
};

/* Nothing from there reaches a public port until then. */
struct px_ban {
    unsigned char source[CM_SOURCE_LEN];
    int64_t until; /* seconds since 1970 */
};

struct px_state {
    int64_t epoch; /* from 1; only grows */
    char domain[256];
    char store_wg_public_key[45];
    int bus_port;
    int metrics_port; /* of the store, for the gateways' own ends; 0: shut */
    uint16_t ports[PX_PORTS_MAX]; /* TCP ports that are forwarded */
    size_t port_count;
    struct px_turn turn;
    enum cm_egress egress;
    struct px_limits limits;
    struct px_ban bans[PX_BANS_MAX]; /* ascending by source, each once */
    size_t ban_count;
    struct px_gateway gateways[CM_GATEWAYS_MAX];
    size_t gateway_count; /* sorted by number */
    bool judged; /* in no document: programs judge what comes out of the store's
                    tunnels (store/ingress) */
};

/* Canonical JSON without epoch wrapper or signature; caller frees. */
char *px_state_dump(const struct px_state *state);
/* Strict: every number in range, every address numeric, every name well-formed, numbers
 * and names unique. kind REFUSE with the field's name. */
CM_MUSTUSE int px_state_parse(const char *text, size_t len, struct px_state *state_r,
                              struct cm_err *err);
/* NULL when absent. */
const struct px_gateway *px_state_find(const struct px_state *state, const char *name);

/* The signed envelope as it travels and as it is stored: two lines,
 * base64 signature LF canonical document. */
CM_MUSTUSE int px_envelope_seal(const char *secret_key, const char *document,
                                char **out_r, struct cm_err *err);
/* Verifies before it parses anything else. */
CM_MUSTUSE int px_envelope_open(const char *public_key, const char *envelope,
                                size_t len, struct px_state *state_r,
                                struct cm_err *err);

/* Inner addresses. side 1 is the gateway's end, side 2 the store's. out: 46 bytes. */
void px_inner4(int number, int side, char out[46]);
void px_inner6(int number, int side, char out[46]);

#endif
