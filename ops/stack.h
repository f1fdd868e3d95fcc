/* stack: every configuration file of a node, rendered from chatmail.ini and what was
 * learned from the node. Pure: conf and facts in, files out. Golden files in
 * ops/testdata/. */
#ifndef OP_STACK_H
#define OP_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/conf.h"
#include "common/err.h"

/* What differs from node to node and is read from it before rendering. */
struct op_facts {
    bool ipv6;             /* the kernel has IPv6 (else no "listen [::]") */
    bool container;        /* systemd-detect-virt -c: no sysctl outside net.* */
    char cluster_key[64];  /* public, base64; gateways only */
    char store_wg_key[64]; /* public, base64; gateways only */
};

struct op_file {
    char *path;    /* absolute, on the node */
    char *content; /* NUL-terminated; the NUL is not counted in len */
    size_t len;
    const char *owner; /* "root:root" */
    mode_t mode;
    const char *unit; /* the unit that reads it, as in op_unit.name; NULL for none */
};

/* Files below /etc/systemd/system ask for a "systemctl daemon-reload" before anything
 * is started. Missing directories are made 0755 root. Not here, but needed before the
 * validate commands can succeed: chatmail.ini, and the certificate and its key. */
struct op_files {
    struct op_file *items;
    size_t count;
};

/* A unit that `chatops run` keeps running, in start order. A unit is restarted when the
 * hash over its files differs from the one it was last started with. */
struct op_unit {
    const char *name;     /* "dovecot.service" */
    const char *validate; /* shell command, must succeed before a restart; or NULL */
    bool reload;          /* reload is enough */
};

extern const struct op_unit op_store_units[];   /* ended by name == NULL */
extern const struct op_unit op_gateway_units[]; /* ended by name == NULL */

/* Those of op_store_units that this store has, and its TURN servers. Ended by name ==
 * NULL; caller frees. */
struct op_unit *op_stack_units(const struct cm_conf *conf);

CM_MUSTUSE int op_stack_store(const struct cm_conf *conf, const struct op_facts *facts,
                              struct op_files *files_r, struct cm_err *err);
CM_MUSTUSE int op_stack_gateway(const struct cm_conf *conf,
                                const struct cm_conf_gateway *gateway,
                                const struct op_facts *facts, struct op_files *files_r,
                                struct cm_err *err);
void op_files_clear(struct op_files *files);

#endif
