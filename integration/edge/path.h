/* path: client, gateway and store in namespaces, WireGuard between the last two, and
 * what may carry a client's bytes on the gateway. */
#ifndef EDGE_PATH_H
#define EDGE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "proxy/state.h"

enum carrier {
    CARRIER_BARE,   /* routing and WireGuard, no rules of ours: what the others cost */
    CARRIER_KERNEL, /* chatmail-gateway's rules, and its programs for what is open */
    CARRIER_RULES,  /* the rules alone, where a kernel does not take programs */
    CARRIER_PROXY,  /* and chatmail-proxy */
    CARRIER_NGINX,  /* nginx stream */
    CARRIER_HAPROXY,
    CARRIERS
};

const char *carrier_name(enum carrier carrier);

struct gw_carry;

struct path {
    pid_t client, gateway, store;
    pid_t tunnels[2], server;
    pid_t plane;  /* of the proxies; 0 */
    pid_t judges; /* keeps the store's programs, as its agent does; 0 */
    char dir[64];
    char keys[2][64]; /* private keys, gateway's and store's */
    int64_t epoch;
    struct gw_carry *carry;
    enum carrier carrier;
    size_t files; /* descriptors that a process may have */
};

/* The client and the gateway share a core, the store has another: machines of their
 * own, so that neither waits for the other's work. */
enum { PATH_ANY_CORE = -1, PATH_GATEWAY_CORE, PATH_STORE_CORE };

/* For this process and those that it begins. */
void path_take_core(int core);

/* Builds it and starts the store's server. -1: no root, no namespaces, no tunnel. */
CM_MUSTUSE int path_open(struct path *path, struct cm_err *err);
void path_close(struct path *path);

/* From now on that one carries; *address_r: what a client dials. */
CM_MUSTUSE int path_carry(struct path *path, enum carrier carrier,
                          const char **address_r, struct cm_err *err);
/* How many connections a proxy can carry here, by its descriptors. */
size_t path_connections(const struct path *path);
/* The tunnels' ends as if no program had ever been there. */
void path_clear_links(struct path *path);
/* The same rules, with the next epoch. */
CM_MUSTUSE int path_reload(struct path *path, struct cm_err *err);

/* The state in force. */
const struct px_state *path_state(const struct path *path);
/* The same with the next epoch, as many bans as there may be, signed, for
 * chatmail-gateway; writes its gateway.conf into dir, where its key is 0.key. Caller
 * frees. */
CM_MUSTUSE int path_envelope(struct path *path, char **envelope_r, struct cm_err *err);

/* Of the carrying process, 0 where it is the kernel: CPU time, proportional memory. */
double path_cpu_s(const struct path *path);
double path_pss_kib(const struct path *path);

#endif
