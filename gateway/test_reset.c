#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "reset.h"

static const struct gw_carry_flow *flow_of(const char *address)
{
    static struct gw_carry_flow flow;
    struct in6_addr a;

    assert_int_equal(inet_pton(AF_INET6, address, &a), 1);
    memcpy(flow.address, &a, sizeof(a));
    return &flow;
}

static const struct gw_carry_key *key_of(const char *client)
{
    static struct gw_carry_key key;
    struct in6_addr a;

    assert_int_equal(inet_pton(AF_INET6, client, &a), 1);
    memcpy(key.client, &a, sizeof(a));
    key.client_port = htons(40000);
    key.port = htons(993);
    return &key;
}

/* RFC 1071: over all that it covers, itself included, the sum is all ones. */
static uint16_t sum(const unsigned char *data, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i += 2) {
        sum += (uint32_t)data[i] << 8 | data[i + 1];
    }
    while (sum > 0xffff) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)sum;
}

static void tells_in_ipv4(void **unused)
{
    (void)unused;
    static const unsigned char want[] = {
        0x45,     0,         0,          40,          0,    0,    0,    0,    64,  6,
        0,        0,         198,        51,          100,  11,   198,  51,   100, 40,
        993 >> 8, 993 & 255, 40000 >> 8, 40000 & 255, 0xfe, 0xdc, 0xba, 0x98, 0,   0,
        0,        0,         0x50,       0x04,        0,    0,    0,    0,    0,   0};
    unsigned char p[GW_RESET_MAX];

    size_t len = gw_reset_packet(key_of("::ffff:198.51.100.40"),
                                 flow_of("::ffff:198.51.100.11"), 0xfedcba98, p);
    assert_int_equal(len, sizeof(want));
    assert_int_equal(sum(p, 20, 0), 0xffff);
    assert_int_equal(sum(p + 12, 28, 6 + 20), 0xffff);
    p[10] = p[11] = p[36] = p[37] = 0;
    assert_memory_equal(p, want, sizeof(want));
}

static void tells_in_ipv6(void **unused)
{
    (void)unused;
    unsigned char p[GW_RESET_MAX];
    struct in6_addr from, to;

    size_t len =
        gw_reset_packet(key_of("2001:db8:1::40"), flow_of("2001:db8:1::11"), 7, p);
    assert_int_equal(len, 60);
    assert_int_equal(p[0], 0x60);
    assert_int_equal(p[5], 20);
    assert_int_equal(p[6], 6);
    inet_pton(AF_INET6, "2001:db8:1::11", &from);
    inet_pton(AF_INET6, "2001:db8:1::40", &to);
    assert_memory_equal(p + 8, &from, 16);
    assert_memory_equal(p + 24, &to, 16);
    assert_int_equal(p[40 + 7], 7);
    assert_int_equal(p[40 + 13], 0x04);
    assert_int_equal(sum(p + 8, 52, 6 + 20), 0xffff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tells_in_ipv4),
                                       cmocka_unit_test(tells_in_ipv6)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
