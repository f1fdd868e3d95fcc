#include "reset.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/inetsum.h"

#define HOPS 64

void gw_reset_open(struct gw_reset *reset)
{
    /* Of this "protocol" a socket only sends, and we write the header. */
    reset->v4 = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
    reset->v6 = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
}

void gw_reset_close(struct gw_reset *reset)
{
    if (reset->v4 >= 0) {
        close(reset->v4);
    }
    if (reset->v6 >= 0) {
        close(reset->v6);
    }
    reset->v4 = reset->v6 = -1;
}

/* ---- a packet ---- */

/* The pseudo-header counts the same in both families: addresses, protocol, length. */
static void put_tcp(unsigned char *at, const struct gw_carry_key *key, uint32_t seq,
                    uint32_t addresses)
{
    struct tcphdr tcp = {.source = key->port,
                         .dest = key->client_port,
                         .seq = htonl(seq),
                         .doff = sizeof(tcp) / 4,
                         .rst = 1};

    uint32_t sum = addresses + IPPROTO_TCP + sizeof(tcp);
    tcp.check = cm_inetsum_done(cm_inetsum_add(sum, &tcp, sizeof(tcp)));
    memcpy(at, &tcp, sizeof(tcp));
}

static size_t packet4(const struct gw_carry_key *key, const struct gw_carry_flow *flow,
                      uint32_t seq, unsigned char *out)
{
    struct iphdr ip = {.version = 4,
                       .ihl = sizeof(ip) / 4,
                       .tot_len = htons(sizeof(ip) + sizeof(struct tcphdr)),
                       .ttl = HOPS,
                       .protocol = IPPROTO_TCP,
                       .saddr = flow->address[3],
                       .daddr = key->client[3]};

    ip.check = cm_inetsum_done(cm_inetsum_add(0, &ip, sizeof(ip)));
    memcpy(out, &ip, sizeof(ip));
    uint32_t sum = cm_inetsum_add(0, &ip.saddr, sizeof(ip.saddr));
    put_tcp(out + sizeof(ip), key, seq,
            cm_inetsum_add(sum, &ip.daddr, sizeof(ip.daddr)));
    return sizeof(ip) + sizeof(struct tcphdr);
}

static size_t packet6(const struct gw_carry_key *key, const struct gw_carry_flow *flow,
                      uint32_t seq, unsigned char *out)
{
    struct ip6_hdr ip = {.ip6_flow = htonl(6u << 28),
                         .ip6_plen = htons(sizeof(struct tcphdr)),
                         .ip6_nxt = IPPROTO_TCP,
                         .ip6_hlim = HOPS};

    memcpy(&ip.ip6_src, flow->address, sizeof(ip.ip6_src));
    memcpy(&ip.ip6_dst, key->client, sizeof(ip.ip6_dst));
    memcpy(out, &ip, sizeof(ip));
    uint32_t sum = cm_inetsum_add(0, &ip.ip6_src, sizeof(ip.ip6_src));
    put_tcp(out + sizeof(ip), key, seq,
            cm_inetsum_add(sum, &ip.ip6_dst, sizeof(ip.ip6_dst)));
    return sizeof(ip) + sizeof(struct tcphdr);
}

static bool is_v4(const __u32 address[4])
{
    return address[0] == 0 && address[1] == 0 && address[2] == htonl(0xffff);
}

size_t gw_reset_packet(const struct gw_carry_key *key, const struct gw_carry_flow *flow,
                       uint32_t seq, unsigned char out[GW_RESET_MAX])
{
    return (is_v4(key->client) ? packet4 : packet6)(key, flow, seq, out);
}

/* ---- sending ---- */

static int send_one(const struct gw_reset *reset, const struct gw_carry_key *key,
                    const struct gw_carry_flow *flow, uint32_t seq)
{
    unsigned char packet[GW_RESET_MAX];
    size_t len = gw_reset_packet(key, flow, seq, packet);
    struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_addr = {key->client[3]}};
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
    bool v4 = is_v4(key->client);

    memcpy(&to6.sin6_addr, key->client, sizeof(to6.sin6_addr));
    return sendto(v4 ? reset->v4 : reset->v6, packet, len, MSG_NOSIGNAL,
                  v4 ? (struct sockaddr *)&to4 : (struct sockaddr *)&to6,
                  v4 ? sizeof(to4) : sizeof(to6)) == (ssize_t)len;
}

int gw_reset_send(const struct gw_reset *reset, const struct gw_carry_key *key,
                  const struct gw_carry_flow *flow)
{
    int sent = send_one(reset, key, flow, flow->ack);

    return flow->next == flow->ack ? sent
                                   : sent + send_one(reset, key, flow, flow->next);
}
