/* preflight: what a node says about itself, and whether that will do. Pure; the tests
 * feed it nodes with each defect. */
#ifndef OP_PREFLIGHT_H
#define OP_PREFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct op_probe {
    bool root;
    bool systemd;
    bool tunnel; /* WireGuard in the kernel, or /dev/net/tun for wireguard-go */
    bool container;
    bool ipv6;
    bool apt;
    char os[64];
    char arch[32];
    char domain[256]; /* that it serves already; "" when none */
    int64_t time_s;
    int64_t disk_mib; /* free in /var */
};

/* A foreign program on one of our ports is an error. */
CM_MUSTUSE int op_probe_read(const char *text, bool store, struct op_probe *p_r,
                             struct cm_err *err);
/* A store that serves another domain is an error. */
CM_MUSTUSE int op_probe_domain(const struct op_probe *p, const char *domain,
                               struct cm_err *err);
CM_MUSTUSE int op_probe_judge(const struct op_probe *p, bool store, int64_t now_s,
                              struct cm_err *err);

#endif
