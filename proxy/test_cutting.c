/* cutting against a real kernel, in a network namespace of its own. Where the kernel
 * has WireGuard itself there is no socket to look at. Needs root, nft, iproute2. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "cutting.h"
#include "netkit/netkit.h"

#define MATCH "udp sport 51820"

static bool holds(const char *command)
{
    return netkit_sh(0, "%s >/dev/null 2>&1", command) == 0;
}

static int own_namespace(void **unused)
{
    (void)unused;
    if (netkit_begin() != 0 || unshare(CLONE_NEWNET) != 0) {
        fprintf(stderr, "needs root and network namespaces\n");
        exit(77);
    }
    /* Nobody is at 10.9.0.2, but packets leave for it. */
    netkit_must(0, "ip link set lo up; ip link add d0 type veth peer name d1; "
                   "ip link set d1 up; ip link set d0 up; "
                   "ip addr add 10.9.0.1/24 dev d0; "
                   "ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev d0");
    return 0;
}

static bool by_rules(void)
{
    return holds("nft list table inet chatmail_cutting");
}

static bool settle(const char links[][PX_LINK_NAME], size_t n, const char *match)
{
    struct cm_err err;
    bool changed = false;

    if (px_cutting_settle(links, n, match, &changed, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return changed;
}

/* A link that nobody serves: as if the machine forbade to borrow its sockets. */
static void rules_where_sockets_are_out_of_reach(void **unused)
{
    static const char links[][PX_LINK_NAME] = {"wg7"};
    (void)unused;

    netkit_must(0, "ip tuntap add dev wg7 mode tun; ip link set wg7 up");
    assert_true(settle(links, 1, MATCH));
    assert_true(holds("nft list table inet chatmail_cutting | grep -q '" MATCH "'"));
    assert_false(settle(links, 1, MATCH));
    assert_true(settle(links, 1, "udp sport 443"));
    assert_false(holds("nft list table inet chatmail_cutting | grep -q '" MATCH "'"));
    assert_true(holds("nft list table inet chatmail_cutting | grep -q 'sport 443 '"));
    assert_true(settle(links, 0, MATCH));
    assert_false(by_rules());
    assert_false(settle(links, 0, MATCH));
    netkit_must(0, "ip link del wg7");
}

static int watch(void)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL),
                             .sll_ifindex = (int)if_nametoindex("d0")};
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

/* Of the next packet of UDP from port 51820. */
static struct iphdr next_outer(int fd)
{
    struct {
        struct iphdr ip;
        uint16_t from;
    } packet;
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    for (int i = 0; i < 100 && poll(&wait, 1, 8000) == 1; i++) {
        if (recv(fd, &packet, sizeof(packet), 0) == sizeof(packet) &&
            packet.ip.version == 4 && packet.ip.protocol == IPPROTO_UDP &&
            packet.from == htons(51820)) {
            return packet.ip;
        }
    }
    fail_msg("nothing has left");
    return packet.ip;
}

/* Whatever the link shall carry begins a handshake. */
static void knocks(int fd, bool may_be_cut)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    int knock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_int_equal(inet_pton(AF_INET, "10.77.1.2", &to.sin_addr), 1);
    assert_int_equal(sendto(knock, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
    close(knock);
    bool forbidden = (next_outer(fd).frag_off & htons(IP_DF)) != 0;
    assert_int_equal(forbidden, !may_be_cut);
}

static void sockets_of_wireguard_go(void **unused)
{
    static const char links[][PX_LINK_NAME] = {"wg0"};
    (void)unused;

    pid_t tunnel = 0;
    netkit_tunnel(0, "wg0", &tunnel);
    if (tunnel == 0) { /* the kernel's */
        assert_false(settle(links, 1, MATCH));
        assert_false(by_rules());
        return;
    }
    netkit_must(0, "for i in $(seq 50); do wg show wg0 >/dev/null 2>&1 && break; "
                   "sleep 0.1; done; umask 077; wg genkey >/run/wireguard/key; "
                   "wg set wg0 listen-port 51820 private-key /run/wireguard/key "
                   "peer \"$(wg genkey | wg pubkey)\" endpoint 10.9.0.2:51820 "
                   "allowed-ips 10.77.1.2/32; "
                   "ip addr add 10.77.1.1/30 dev wg0; ip link set wg0 up");
    assert_false(settle(links, 1, MATCH));
    assert_false(by_rules());
    int fd = watch();
    knocks(fd, true);
    /* Another socket: until it is looked at again. */
    netkit_must(
        0, "wg set wg0 listen-port 51821; wg set wg0 listen-port 51820; sleep 0.3");
    close(fd);
    fd = watch();
    knocks(fd, false);
    assert_false(settle(links, 1, MATCH));
    sleep(6); /* a handshake that is not answered is sent again after five seconds */
    close(fd);
    fd = watch();
    knocks(fd, true);
    close(fd);
    netkit_stop(&tunnel, SIGKILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_where_sockets_are_out_of_reach),
        cmocka_unit_test(sockets_of_wireguard_go),
    };
    return cmocka_run_group_tests(tests, own_namespace, NULL);
}
