#include "cutting.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"

#define CONTROL "/var/run/wireguard/%s.sock" /* of wireguard-go, wg(8) */

/* Its descriptors: the tunnel, its control, epoll, and two sockets; some more for who
 * asks it at this moment. */
#define DESCRIPTORS_MAX 128

#define TABLE           "chatmail_cutting"
#define MOMENT_MS       20
#define MOMENTS         25
#define TOOL_TIMEOUT_MS 20000

/* ---- sockets ---- */

static bool by_kernel(const char *ifname)
{
    char file[64], *text = NULL;
    struct cm_err err;

    snprintf(file, sizeof(file), "/sys/class/net/%.20s/uevent", ifname);
    bool is = cm_file_read(file, 4096, &text, NULL, &err) == 1 &&
              strstr(text, "DEVTYPE=wireguard\n") != NULL;
    free(text);
    return is;
}

/* The process behind its control socket; 0: none. */
static pid_t serving(const char *ifname)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct ucred who = {0};
    socklen_t len = sizeof(who);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), CONTROL, ifname);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0) {
        (void)!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
    }
    if (fd >= 0) {
        close(fd);
    }
    return who.pid;
}

static bool is(int fd, int option, int value)
{
    int got = -1;
    socklen_t len = sizeof(got);

    return getsockopt(fd, SOL_SOCKET, option, &got, &len) == 0 && got == value;
}

/* Takes the descriptor. 1: a socket that carries the tunnel over IPv4, and lets it be
 * cut now; 0: something else; -1. */
static int allow(int fd)
{
    static const int dont = IP_PMTUDISC_DONT;
    int rc = 0;

    if (is(fd, SO_DOMAIN, AF_INET) && is(fd, SO_PROTOCOL, IPPROTO_UDP)) {
        rc = setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &dont, sizeof(dont)) == 0 ? 1
                                                                                   : -1;
    }
    close(fd);
    return rc;
}

enum sight { DONE, NOT_YET, REFUSED };

static enum sight look(const char *link)
{
    if (by_kernel(link)) {
        return DONE;
    }
    pid_t pid = serving(link);
    int process = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    enum sight sight = process >= 0 ? NOT_YET : REFUSED;

    for (int n = 0; n < DESCRIPTORS_MAX && sight != REFUSED; n++) {
        int fd = (int)syscall(SYS_pidfd_getfd, process, n, 0);
        int rc = fd >= 0 ? allow(fd) : errno == EBADF ? 0 : -1;
        sight = rc < 0 ? REFUSED : rc > 0 ? DONE : sight;
    }
    if (process >= 0) {
        close(process);
    }
    return sight;
}

/* wireguard-go opens its sockets a moment after its link has come up. */
static bool allowed(const char *link)
{
    static const struct timespec moment = {.tv_nsec = MOMENT_MS * 1000000};
    enum sight sight = look(link);

    for (int i = 0; i < MOMENTS && sight == NOT_YET; i++) {
        nanosleep(&moment, NULL);
        sight = look(link);
    }
    return sight == DONE;
}

/* ---- rules in their place ---- */

/* The kernel numbers packets that may not be cut all alike, but pieces need a number.
 * 576 bytes arrive everywhere (RFC 791), and most packets have no more. */
static char *rules(const char *match)
{
    return cm_asprintf(
        "table inet " TABLE "\n"
        "delete table inet " TABLE "\n"
        "table inet " TABLE " {\n"
        "    chain leave {\n"
        "        type filter hook output priority raw; policy accept;\n"
        "        %s ip length > 576 ip frag-off & 0x4000 == 0x4000 ip id set numgen "
        "inc mod 65535 offset 1 ip frag-off set 0\n"
        "    }\n"
        "}\n",
        match);
}

enum found { NONE, OTHER, SAME };

static int find_rules(const char *match, enum found *found_r, struct cm_err *err)
{
    static const char *const argv[] = {"nft", "list", "table", "inet", TABLE, NULL};
    struct cm_run run = {.argv = argv, .timeout_ms = TOOL_TIMEOUT_MS};
    struct cm_run_result res;
    int rc = cm_run(&run, &res, err);

    if (rc == 0 && res.exit_code == 0) {
        *found_r = strstr(res.out.data, match) != NULL ? SAME : OTHER;
    } else if (rc == 0 && strstr(res.err.data, "No such file") != NULL) {
        *found_r = NONE;
    } else if (rc == 0) {
        rc = cm_err_set(err, CM_ERR_WORLD, "nft cannot list " TABLE ": %.300s",
                        res.err.data);
    }
    cm_run_result_clear(&res);
    return rc;
}

static int load_rules(const char *text, struct cm_err *err)
{
    static const char *const argv[] = {"nft", "-f", "-", NULL};
    struct cm_run run = {.argv = argv, .input = text, .timeout_ms = TOOL_TIMEOUT_MS};
    return cm_run_ok(&run, NULL, err);
}

int px_cutting_settle(const char links[][PX_LINK_NAME], size_t n, const char *match,
                      bool *changed_r, struct cm_err *err)
{
    bool by_socket = true;
    enum found found = NONE;

    for (size_t i = 0; i < n; i++) {
        by_socket = allowed(links[i]) && by_socket;
    }
    if (find_rules(match, &found, err) != 0) {
        return -1;
    }
    if (found == (by_socket ? NONE : SAME)) {
        return 0;
    }
    char *text = by_socket ? cm_strdup("delete table inet " TABLE "\n") : rules(match);
    int rc = load_rules(text, err);
    free(text);
    *changed_r = *changed_r || rc == 0;
    return rc;
}
