#include "net.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mem.h"

#define BATCH_MAX (64 * 1024)

struct sysctl {
    const char *path; /* below /proc/sys/net */
    const char *value;
};

static const struct sysctl inet_sysctls[] = {
    {"ipv4/ip_forward", "1"},
    {"ipv6/conf/all/forwarding", "1"},
    {"ipv6/conf/default/accept_dad", "0"},
    {NULL, NULL},
};
static const struct sysctl node_sysctls[] = {
    {"ipv6/conf/default/accept_dad", "0"},
    {"ipv6/conf/default/accept_ra", "0"},
    {NULL, NULL},
};
static const struct sysctl home_sysctls[] = {
    {"ipv4/ip_forward", "1"},
    {NULL, NULL},
};

/* Bridge family, both ways through a port of the set; ARP is no IP, and neighbour
 * discovery is let through by type. */
static const char cut_table[] =
    "table bridge lab {\n"
    "  set cut { type ifname; }\n"
    "  chain silence {\n"
    "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n"
    "    ether type { ip, ip6 } drop\n"
    "  }\n"
    "  chain from { type filter hook prerouting priority -300; iifname @cut jump "
    "silence; }\n"
    "  chain to { type filter hook postrouting priority 300; oifname @cut jump "
    "silence; }\n"
    "}\n";

static char *ns_name(const struct lab *lab, const char *name)
{
    return cm_asprintf("%s-%s", lab->tag, name);
}

char *net_ns_path(const struct lab *lab, const char *name)
{
    return cm_asprintf("/run/netns/%s-%s", lab->tag, name);
}

char *lab_internet(const struct lab *lab)
{
    return net_ns_path(lab, "inet");
}

static int enter(const char *ns_path)
{
    int fd = open(ns_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = setns(fd, CLONE_NEWNET);
    close(fd);
    return rc;
}

/* Runs fn in a child that has entered the namespace: this process never leaves its own.
 * Returns the child's exit code, 127 when it could not enter. */
static int in_namespace(const char *ns_path, int (*fn)(const void *), const void *arg)
{
    pid_t pid = fork();
    if (pid < 0)
        return 127;
    if (pid == 0)
        _exit(enter(ns_path) < 0 ? 127 : fn(arg));
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

static int write_sysctls(const void *arg)
{
    for (const struct sysctl *s = arg; s->path; s++) {
        char path[128];
        snprintf(path, sizeof path, "/proc/sys/net/%s", s->path);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        size_t n = strlen(s->value);
        if (fd < 0 || write(fd, s->value, n) != (ssize_t)n)
            return 1;
        close(fd);
    }
    return 0;
}

static int set_sysctls(const char *ns_path, const struct sysctl *sysctls,
                       struct cm_err *err)
{
    if (in_namespace(ns_path, write_sysctls, sysctls) == 0)
        return 0;
    return cm_err_set(err, CM_ERR_WORLD, "%s: cannot set its network sysctls", ns_path);
}

static int ip_batch(const char *ns, const struct cm_buf *batch, struct cm_err *err)
{
    cm_assert(!batch->overflow);
    return tool_with(err, batch->data, "ip", "-n", ns, "-batch", "-", NULL);
}

static int nft_in(const char *ns_path, const char *text, struct cm_err *err)
{
    char *option = cm_asprintf("--net=%s", ns_path);
    int rc = tool_with(err, text, "nsenter", option, "nft", "-f", "-", NULL);
    free(option);
    return rc;
}

int net_inet_up(struct lab *lab, struct cm_err *err)
{
    char *ns = ns_name(lab, "inet");
    char *path = net_ns_path(lab, "inet");
    struct cm_buf batch;
    cm_buf_init(&batch, BATCH_MAX);
    topology_ip_inet(&batch);
    int rc = -1;
    if (tool(err, "ip", "netns", "add", ns, NULL) == 0 &&
        set_sysctls(path, inet_sysctls, err) == 0 && ip_batch(ns, &batch, err) == 0 &&
        nft_in(path, cut_table, err) == 0)
        rc = 0;
    cm_buf_clear(&batch);
    free(path);
    free(ns);
    return rc;
}

static int wire_node(struct lab *lab, const struct topology_node *node, const char *ns,
                     const char *path, struct cm_err *err)
{
    struct cm_buf batch;
    cm_buf_init(&batch, BATCH_MAX);
    char *inet = ns_name(lab, "inet");
    bool home = strcmp(node->name, "home") == 0;
    topology_ip_cables(node, ns, &batch);
    int rc = ip_batch(inet, &batch, err);
    if (rc == 0)
        rc = set_sysctls(path, node_sysctls, err);
    if (rc == 0) {
        cm_buf_reset(&batch);
        topology_ip_node(node, &batch);
        rc = ip_batch(ns, &batch, err);
    }
    if (rc == 0 && home)
        rc = set_sysctls(path, home_sysctls, err);
    if (rc == 0 && home)
        rc = nft_in(path, topology_nft_home(), err);
    free(inet);
    cm_buf_clear(&batch);
    return rc;
}

int net_node_up(struct lab *lab, const struct topology_node *node, struct cm_err *err)
{
    net_node_down(lab, node);
    char *ns = ns_name(lab, node->name);
    char *path = net_ns_path(lab, node->name);
    int rc = tool(err, "ip", "netns", "add", ns, NULL);
    if (rc == 0)
        rc = wire_node(lab, node, ns, path, err);
    if (rc < 0)
        cm_err_prefix(err, "network of %s", node->name);
    free(path);
    free(ns);
    return rc;
}

void net_node_unplug(struct lab *lab, const struct topology_node *node)
{
    char *inet = ns_name(lab, "inet");
    for (const struct topology_link *k = topology_links; k->node; k++)
        if (strcmp(k->node, node->name) == 0)
            tool_quietly("ip", "-n", inet, "link", "del", k->port, NULL);
    free(inet);
}

void net_node_down(struct lab *lab, const struct topology_node *node)
{
    char *path = net_ns_path(lab, node->name);
    /* The namespace may live on for a while in a process that still dies: without the
     * cables nobody outside can tell. */
    net_node_unplug(lab, node);
    if (access(path, F_OK) == 0) {
        char *ns = ns_name(lab, node->name);
        tool_quietly("ip", "netns", "del", ns, NULL);
        free(ns);
    }
    free(path);
}

int net_cut(struct lab *lab, const struct topology_node *node, bool cut,
            struct cm_err *err)
{
    struct cm_buf text;
    cm_buf_init(&text, BATCH_MAX);
    for (const struct topology_link *k = topology_links; k->node; k++) {
        if (strcmp(k->node, node->name) != 0)
            continue;
        /* Added first in both cases: deleting what is absent would be an error. */
        cm_buf_fmt(&text, "add element bridge lab cut { \"%s\" }\n", k->port);
        if (!cut)
            cm_buf_fmt(&text, "delete element bridge lab cut { \"%s\" }\n", k->port);
    }
    char *path = net_ns_path(lab, "inet");
    int rc = nft_in(path, text.data, err);
    free(path);
    cm_buf_clear(&text);
    return rc;
}

bool net_is_cut(struct lab *lab, const struct topology_node *node)
{
    char *path = net_ns_path(lab, "inet");
    char *option = cm_asprintf("--net=%s", path);
    char *port = cm_asprintf("\"%s\"", node->name);
    const char *argv[] = {"nsenter", option, "nft", "list", "set",
                          "bridge",  "lab",  "cut", NULL};
    char *out = NULL;
    struct cm_err ignored;
    bool cut = tool_argv(&ignored, argv, 0, &out) == 0 && strstr(out, port) != NULL;
    free(out);
    free(port);
    free(option);
    free(path);
    return cut;
}

static int read_greeting(const void *arg)
{
    (void)arg;
    struct timeval second = {.tv_sec = 1};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(22),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char greeting[4];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second) < 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        return 1;
    ssize_t n = recv(fd, greeting, sizeof greeting, MSG_WAITALL);
    return n == 4 && memcmp(greeting, "SSH-", 4) == 0 ? 0 : 1;
}

bool net_ssh_answers(struct lab *lab, const struct topology_node *node)
{
    char *path = net_ns_path(lab, node->name);
    bool answers = in_namespace(path, read_greeting, NULL) == 0;
    free(path);
    return answers;
}

void net_clean(struct lab *lab)
{
    char *prefix = ns_name(lab, "");
    DIR *dir = opendir("/run/netns");
    struct dirent *e;
    while (dir && (e = readdir(dir)))
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0)
            tool_quietly("ip", "netns", "del", e->d_name, NULL);
    if (dir)
        closedir(dir);
    free(prefix);
}
