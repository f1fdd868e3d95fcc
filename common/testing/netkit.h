/* netkit: hosts in network namespaces of their own, for tests and benches that need
 * more than one. Needs root; anything unexpected ends the program with a text. */
#ifndef NETKIT_H
#define NETKIT_H

#include <sys/types.h>

#include "common/err.h"

/* wireguard-go's control sockets are files: from here on this process and its children
 * have a directory for them of their own. -1: no root or no namespaces here. */
int netkit_begin(void);

/* A process that does nothing but hold a namespace. It dies with us. */
pid_t netkit_host(void);
/* fork() into that host's namespace: 0 in the child, which dies with us. */
pid_t netkit_fork(pid_t host);
/* A shell command there (host 0: here). Returns its exit status. */
int netkit_sh(pid_t host, const char *fmt, ...) CM_PRINTF(2, 3);
void netkit_must(pid_t host, const char *fmt, ...) CM_PRINTF(2, 3); /* status 0 */
/* Kills, waits, and sets *pid to 0. Nothing for 0. */
void netkit_stop(pid_t *pid, int signal);

/* A veth pair between two hosts. */
void netkit_wire(pid_t a, const char *name_a, pid_t b, const char *name_b);
/* A WireGuard link, by the kernel or else wireguard-go, whose process is *pid then. */
void netkit_tunnel(pid_t host, const char *name, pid_t *pid);

#endif
