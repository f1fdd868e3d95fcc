/* lab: a whole cluster of real Debian nodes on this machine (design 7).
 *
 * Every node is Debian 12 booted with systemd by systemd-nspawn on an overlay of one
 * base image, in a network namespace of its own; the "internet" between them is one
 * more namespace, and the machine's own is never touched. One lab per state directory
 * ($PORTICO_LAB_DIR, default /var/lib/portico-lab). Needs root.
 *
 * Calls that change the lab take its lock and wait for another command that holds it;
 * the others do not. All block. Progress of more than a second goes to stderr, one line
 * each, unless quiet is set. A struct lab belongs to one thread. */
#ifndef LAB_LAB_H
#define LAB_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/err.h"
#include "common/run.h"

struct lab;

struct lab_up {
    bool bare; /* start from the base image even if a snapshot fits */
    const char
        *snapshot; /* start from this one; NULL: "deployed" when it fits, else bare */
};

enum lab_state {
    LAB_OFF,
    LAB_BOOTING, /* its init has not reported yet */
    LAB_UP,
    LAB_CUT, /* runs, but nothing gets in or out */
};

/* The longest argv lab_argv_in() makes in front of the caller's words, and its limit.
 */
#define LAB_ARGV_MAX 64

struct lab_argv {
    const char
        *words[LAB_ARGV_MAX]; /* NULL-terminated; the caller's own words are borrowed */
    char pid[16];
    char term[64];
};

/* dir NULL: $PORTICO_LAB_DIR or the default. packages NULL: $PORTICO_PACKAGES or the
 * directory "packages" beside the running program; it need not exist. */
CM_MUSTUSE int lab_open(const char *dir, const char *packages, struct lab **lab_r,
                        struct cm_err *err);
void lab_close(struct lab **lab);
void lab_quiet(struct lab *lab, bool quiet);
const char *lab_dir(const struct lab *lab);

/* Builds what is missing (base image, mirror, chat client), clears leftovers of a run
 * that did not end well, starts all nodes and waits until their systemd is done. Up
 * already: 1, nothing is changed. Started: 0. -1 error. */
CM_MUSTUSE int lab_up(struct lab *lab, const struct lab_up *options,
                      struct cm_err *err);
/* Powers all nodes off and removes namespaces, cgroups and the nodes' disks. Images,
 * mirror and snapshots stay. Not up: 0 too. */
CM_MUSTUSE int lab_down(struct lab *lab, struct cm_err *err);
/* All nodes have come up, and not all are stopped again. */
bool lab_is_up(struct lab *lab);
/* Name of the snapshot that the nodes stand on, "" when bare or down. */
const char *lab_origin(struct lab *lab);

/* argv that runs a program inside a node, for callers who spawn it themselves with
 * pipes. -1 when the node is off. Valid until the node stops. */
CM_MUSTUSE int lab_argv_in(struct lab *lab, const char *node, const char *const *argv,
                           struct lab_argv *argv_r, struct cm_err *err);
/* cm_run() inside a node: 0 whatever the exit code; res must be cleared in both cases.
 * input may be NULL. timeout_ms 0: 60 s. */
CM_MUSTUSE int lab_exec(struct lab *lab, const char *node, const char *const *argv,
                        const char *input, int64_t timeout_ms,
                        struct cm_run_result *res, struct cm_err *err);
/* lab_exec() where a non-zero exit is an error; out_r may be NULL, else caller frees.
 */
CM_MUSTUSE int lab_exec_ok(struct lab *lab, const char *node, const char *const *argv,
                           int64_t timeout_ms, char **out_r, struct cm_err *err);

/* Power cut: the line goes dead first, then init gets SIGKILL; peers hear no goodbye.
 */
CM_MUSTUSE int lab_stop(struct lab *lab, const char *node, struct cm_err *err);
/* Boots a stopped node on its own disk and waits for it. Running already: 0. */
CM_MUSTUSE int lab_start(struct lab *lab, const char *node, struct cm_err *err);
/* Internet-like silence on all links of a node, which keeps running; and its end. */
CM_MUSTUSE int lab_cut(struct lab *lab, const char *node, struct cm_err *err);
CM_MUSTUSE int lab_heal(struct lab *lab, const char *node, struct cm_err *err);
/* The network namespace between the nodes, the internet's router. Caller frees. */
char *lab_internet(const struct lab *lab);

/* Powers off cleanly, keeps all disks as NAME (replacing an older NAME), boots again.
 */
CM_MUSTUSE int lab_snapshot(struct lab *lab, const char *name, struct cm_err *err);
/* Throws the present disks away and boots from NAME. */
CM_MUSTUSE int lab_restore(struct lab *lab, const char *name, struct cm_err *err);
/* True when snapshot NAME was made from the present base image and packages. */
bool lab_snapshot_fits(struct lab *lab, const char *name);

/* Makes `records` (zone file lines, no SOA or NS needed) the content of zone `name` on
 * the lab's name server and empties the resolver's cache. */
CM_MUSTUSE int lab_zone(struct lab *lab, const char *name, const char *records,
                        struct cm_err *err);

/* The table of nodes. name -> first address of that family, NULL when it has none. */
size_t lab_node_count(void);
const char *lab_node_name(size_t i);
const char *lab_address(const char *node, int family);
enum lab_state lab_node_state(struct lab *lab, const char *node);
/* The table that `lab status` prints. Caller frees. */
char *lab_status_text(struct lab *lab);

#endif
