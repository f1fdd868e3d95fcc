/* preflight: what a node says about itself, and everything of it that will not do.
 * Pure; the tests feed it nodes with each defect. */
#ifndef OP_PREFLIGHT_H
#define OP_PREFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"
#include "defects.h"

#define OP_PORTS_MAX  256
#define OP_VOLUMES    4
#define OP_RESOLVERS  3 /* as resolv.conf(5) */
#define OP_PROBE_WORD 64

struct op_listener {
    bool udp;
    bool loopback;
    int port;
    char names[128]; /* of the programs that have it, blank-separated; "" not known */
};

struct op_volume {
    char path[128];
    int64_t free_mib;
    int64_t free_inodes; /* -1: it has no such limit */
};

struct op_resolver {
    char address[OP_PROBE_WORD];
    int rcode; /* -1: silent */
};

struct op_probe {
    bool root;
    bool systemd;
    bool tunnel; /* WireGuard in the kernel, or /dev/net/tun for wireguard-go */
    bool container;
    bool ipv6;
    bool apt;
    bool installed;     /* a package of ours */
    bool read_only;     /* /etc, /usr or /var */
    bool half_restored; /* by a chatops restore that was cut off */
    bool sysctl;        /* net.* can be set */
    bool nft_refused;
    char nft_says[160];
    char os[OP_PROBE_WORD];      /* "debian 12" */
    char os_name[OP_PROBE_WORD]; /* "Debian GNU/Linux 12 (bookworm)" */
    char arch[32];
    char domain[256]; /* that it serves already; "" when none */
    int64_t time_s;
    int64_t memory_mib;
    int64_t inotify; /* instances of a user; -1 not known */
    struct op_volume volumes[OP_VOLUMES];
    size_t volume_count;
    struct op_resolver resolvers[OP_RESOLVERS];
    size_t resolver_count;
    struct op_listener listeners[OP_PORTS_MAX];
    size_t listener_count;
};

/* Never fails: what is missing in the text is missing on the node. */
void op_probe_read(const char *text, struct op_probe *p_r);

/* gateway: NULL for the store. now_s: the clock of this machine. */
void op_probe_judge(const struct op_probe *p, const struct cm_conf *conf,
                    const struct cm_conf_gateway *gateway, int64_t now_s,
                    struct op_defects *defects);

#endif
