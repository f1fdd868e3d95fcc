/* cluster: chatmail.ini and the nodes it names, as the verbs work on them. */
#ifndef OP_CLUSTER_H
#define OP_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>

#include "cli.h"
#include "common/conf.h"
#include "common/err.h"
#include "host.h"
#include "plan.h"
#include "stack.h"

#define OP_APPLIED_DIR  "/var/lib/portico/applied"
#define OP_VERSION_PATH "/etc/chatmail-version"
#define OP_INI_PATH     "/etc/chatmail/chatmail.ini" /* on the store */
#define OP_INI_OWNER    "root:root"
#define OP_INI_MODE     0644

struct op_package {
    char path[512]; /* of the .deb, on this machine */
    char version[64];
    char hash[65];
    char *data;
    size_t len;
};

struct op_cluster;
struct op_restore;

struct op_node {
    struct op_cluster *cluster;
    struct op_host host;
    const struct cm_conf_gateway *gateway; /* NULL: the store */
    bool
        skipped; /* nothing is done on it: no ssh, no agent, or not meant by the verb */
    bool left_out; /* of the desired state: its key is not known yet */
    const struct op_unit *units;
    struct op_facts facts; /* as far as read */
    bool ipv6_off_warned;
    char arch[32];             /* "amd64"; set by preflight */
    struct op_defects defects; /* what preflight found */
    struct op_package package;
    char wg_key[64];       /* public; set by the key step */
    struct op_files files; /* rendered last */
};

struct op_cluster {
    const struct op_cli *cli;
    char *ini; /* text of chatmail.ini */
    size_t ini_len;
    char *state_dir; /* DIR/.chatops */
    struct cm_conf conf;
    char cluster_key[64];  /* public; set by the store's key step */
    char *state;           /* desired state as published; set by the publish step */
    struct op_node *nodes; /* the store first, then gateways by number */
    size_t node_count;
    struct op_unit *store_units;
    char *packages; /* directory of the .debs */
    struct op_defects dns_defects;
    struct op_restore *restore; /* NULL but in chatops restore */
};

/* Reads chatmail.ini and names the nodes; connects to nothing. */
CM_MUSTUSE int op_cluster_load(const struct op_cli *cli, struct op_cluster *c,
                               struct cm_err *err);
void op_cluster_clear(struct op_cluster *c);
/* One warning that names every key that means nothing to us. */
void op_cluster_warn_unused(const struct op_cluster *c);
/* DIR/.chatops for DIR/chatmail.ini. Caller frees. */
char *op_state_dir(const char *config);

/* The parts of `run`. Each adds its steps for one node, in the order of the calls
 * there. */
void op_add_preflight(struct op_plan *plan, struct op_node *node);
void op_add_package(struct op_plan *plan, struct op_node *node);
void op_add_keys(struct op_plan *plan, struct op_node *node);
/* The store's, before there is a package; op_add_keys makes the others. */
void op_add_cluster_key(struct op_plan *plan, struct op_node *store);
/* Of a store that is not to be touched: reads its keys, and fails when it has none. */
void op_add_store_keys(struct op_plan *plan, struct op_node *store);
/* Does the mail domain lead here? A survey; holds a run up in acme mode only. */
void op_add_dns(struct op_plan *plan, struct op_cluster *c);
void op_add_tls(struct op_plan *plan, struct op_node *node);
void op_add_dkim(struct op_plan *plan, struct op_node *node);
void op_add_turn_secret(struct op_plan *plan, struct op_node *node);
void op_add_dns_key(struct op_plan *plan, struct op_node *node);
void op_add_files(struct op_plan *plan, struct op_node *node);
/* The web pages alone. */
void op_add_pages(struct op_plan *plan, struct op_node *node);
void op_add_units(struct op_plan *plan, struct op_node *node);
/* Of a gateway: chatmail-proxy, where it carries. */
void op_add_carrier(struct op_plan *plan, struct op_node *node);
void op_add_version(struct op_plan *plan, struct op_node *node);
void op_add_idle(struct op_plan *plan, struct op_node *node);
void op_add_retired(struct op_plan *plan, struct op_node *node);
void op_add_echo(struct op_plan *plan, struct op_node *node);
void op_add_schema(struct op_plan *plan, struct op_node *node);
/* The keys of skipped gateways: from chatmail.ini, else as published. */
void op_add_known_keys(struct op_plan *plan, struct op_cluster *c);
void op_add_publish(struct op_plan *plan, struct op_cluster *c);
void op_add_wait(struct op_plan *plan, struct op_cluster *c);
void op_add_reach(struct op_plan *plan, struct op_node *node);

/* `run`, for the store and one gateway (NULL: for all that chatops may work on), up to
 * the published document; nothing is waited for yet. Is it possible at all? */
CM_MUSTUSE int op_run_possible(const struct op_cluster *c, struct cm_err *err);
void op_run_plan(struct op_plan *plan, struct op_cluster *c, const char *only);
/* All of `run`, with what is looked at afterwards. */
void op_run_all(struct op_plan *plan, struct op_cluster *c);
/* Asked on a terminal, unless --yes or --json, before the first change. */
void op_run_confirm(struct op_plan *plan, struct op_cluster *c);
/* NULL when there is none of that name. */
struct op_node *op_cluster_gateway(struct op_cluster *c, const char *name);

/* Finds and reads DIR/portico-{store,gateway}_VERSION_ARCH.deb for the node's arch. */
CM_MUSTUSE int op_package_find(struct op_node *node, struct cm_err *err);
/* Renders the node's files into node->files. Keys not known yet appear as words. */
CM_MUSTUSE int op_node_render(struct op_node *node, struct cm_err *err);

void op_files_add_ini(struct op_files *files, const char *text);

/* What the stamp of a unit says of the files that it reads. */
void op_unit_files_hash(const struct op_files *files, const char *unit, char out[65]);
/* Is it a daemon of ours, which chatmail.ini is part of the stamp of? */
bool op_unit_reads_ini(const char *unit);
/* Does it read [store] registrations, by SIGHUP too? */
bool op_unit_takes_registrations(const char *unit);

#endif
