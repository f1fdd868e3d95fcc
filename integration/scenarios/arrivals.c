#include "arrivals.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOM     (32 << 20) /* of the socket: a scan comes in bursts */
#define READY_MS 3000

enum { SYN = 2, ACK = 16 };

static void note(struct arrivals *seen, const unsigned char *ip, size_t len,
                 const unsigned char *source, bool v6)
{
    size_t head = v6 ? 40 : (size_t)(ip[0] & 15) * 4;
    const unsigned char *from = ip + (v6 ? 8 : 12), *inside = ip + head;
    int protocol = ip[v6 ? 6 : 9];

    if (len < head + 8 || memcmp(from, source, v6 ? 16 : 4) != 0) {
        return;
    }
    int port = inside[2] << 8 | inside[3];
    if (protocol == IPPROTO_UDP) {
        seen->udp[port] = true;
    } else if (protocol == IPPROTO_TCP && len >= head + 20) {
        *((inside[13] & (SYN | ACK)) == SYN ? &seen->tcp[port] : &seen->odd[port]) =
            true;
    }
}

static int listen_at(const char *netns, const char *link)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    int ns = open(netns, O_RDONLY | O_CLOEXEC), room = ROOM;

    if (ns < 0 || setns(ns, CLONE_NEWNET) != 0) {
        return -1;
    }
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    at.sll_ifindex = (int)if_nametoindex(link);
    return at.sll_ifindex != 0 &&
                   setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ==
                       0 &&
                   bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0
               ? fd
               : -1;
}

static _Noreturn void be_watcher(const char *netns, const char *link,
                                 const char *source, struct arrivals *seen)
{
    unsigned char bytes[2048], address[16];
    bool v6 = strchr(source, ':') != NULL;
    int fd = listen_at(netns, link);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fd < 0 || inet_pton(v6 ? AF_INET6 : AF_INET, source, address) != 1) {
        _exit(1);
    }
    seen->ready = true;
    for (;;) {
        struct sockaddr_ll by;
        socklen_t by_len = sizeof(by);
        ssize_t n =
            recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&by, &by_len);
        if (n >= 20 && by.sll_pkttype != PACKET_OUTGOING &&
            bytes[0] >> 4 == (v6 ? 6 : 4)) {
            note(seen, bytes, (size_t)n, address, v6);
        }
    }
}

int arrivals_begin(const char *netns, const char *link, const char *source,
                   struct arrivals **seen_r, pid_t *pid_r, struct cm_err *err)
{
    struct arrivals *seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    cm_assert(seen != MAP_FAILED);
    pid_t pid = fork();
    cm_assert(pid >= 0);
    if (pid == 0) {
        be_watcher(netns, link, source, seen);
    }
    *seen_r = seen;
    *pid_r = pid;
    for (int ms = 0; ms < READY_MS; ms++) {
        if (*(volatile bool *)&seen->ready) {
            return 0;
        }
        usleep(1000);
    }
    arrivals_end(seen_r, pid_r);
    return cm_err_set(err, CM_ERR_WORLD, "nobody can watch %s", link);
}

void arrivals_end(struct arrivals **seen, pid_t *pid)
{
    if (*seen != NULL) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
        munmap(*seen, sizeof(**seen));
        *seen = NULL;
        *pid = -1;
    }
}
