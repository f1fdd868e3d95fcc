/* What of the proxy needs no socket: header, table of sources, settings, echo packets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "header.h"
#include "pulse.h"
#include "settings.h"
#include "sources.h"

static struct sockaddr_storage at(const char *address, unsigned port)
{
    struct sockaddr_storage out = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&out;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out;

    if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
    } else {
        assert_int_equal(inet_pton(AF_INET6, address, &in6->sin6_addr), 1);
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
    }
    return out;
}

static void test_header(void **state)
{
    (void)state;
    unsigned char out[HEADER_MAX];
    struct sockaddr_storage from = at("198.51.100.7", 0x1234),
                            to = at("203.0.113.9", 993);
    static const unsigned char want4[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a,
                                          0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11,
                                          0,    12,   198,  51,   100,  7,    203,
                                          0,    113,  9,    0x12, 0x34, 0x03, 0xe1};
    assert_int_equal(header_v2(&from, &to, out), sizeof(want4));
    assert_memory_equal(out, want4, sizeof(want4));

    struct sockaddr_storage mapped = at("::ffff:198.51.100.7", 0x1234);
    assert_int_equal(header_v2(&mapped, &to, out), sizeof(want4));
    assert_memory_equal(out, want4, sizeof(want4));

    struct sockaddr_storage six = at("2001:db8::1", 1), other = at("2001:db8::2", 2);
    assert_int_equal(header_v2(&six, &other, out), 52);
    assert_int_equal(out[13], 0x21);
    assert_int_equal(out[15], 36);
    assert_int_equal(out[16 + 15], 1);
    assert_int_equal(out[16 + 31], 2);
    assert_int_equal(out[49], 1);
    assert_int_equal(out[51], 2);
    assert_int_equal(header_v2(&from, &six, out), 0);
    from.ss_family = AF_UNIX;
    assert_int_equal(header_v2(&from, &to, out), 0);
}

static void test_sources_limit(void **state)
{
    (void)state;
    struct sources *s = sources_new(10, 2);
    struct sockaddr_storage a = at("198.51.100.7", 1), b = at("198.51.100.8", 1),
                            c = at("2001:db8:0:1::7", 1), d = at("2001:db8:0:1:2::", 1);
    assert_true(sources_take(s, &a));
    assert_true(sources_take(s, &a));
    assert_false(sources_take(s, &a));
    assert_true(sources_take(s, &b));
    assert_true(sources_take(s, &c)); /* one /64 */
    assert_true(sources_take(s, &d));
    assert_false(sources_take(s, &c));
    assert_int_equal(sources_count(s), 3);
    sources_give(s, &a);
    assert_true(sources_take(s, &a));
    sources_limit(s, 3);
    assert_true(sources_take(s, &a));
    sources_give(s, &d);
    sources_give(s, &c);
    assert_int_equal(sources_count(s), 2);
    sources_free(&s);
}

/* Against a plain array, with many networks in a small table. */
static void test_sources_model(void **state)
{
    (void)state;
    enum { NETS = 60 };
    struct sources *s = sources_new(64, 1000);
    unsigned open[NETS] = {0};
    unsigned long seed = 1;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 6364136223846793005ul + 1442695040888963407ul;
        unsigned n = (unsigned)(seed >> 33) % NETS;
        char text[32];
        snprintf(text, sizeof(text), "10.0.%u.1", n);
        struct sockaddr_storage a = at(text, 1);
        if (open[n] > 0 && (seed >> 60 & 1) != 0) {
            sources_give(s, &a);
            open[n]--;
        } else if (open[n] < 3) {
            assert_true(sources_take(s, &a));
            open[n]++;
        }
        size_t used = 0;
        for (int k = 0; k < NETS; k++) {
            used += open[k] > 0;
        }
        assert_int_equal(sources_count(s), used);
    }
    sources_free(&s);
}

static void test_settings(void **state)
{
    (void)state;
    struct settings s;
    struct cm_err err;
    static const char good[] =
        "[proxy]\nlisten = 198.51.100.11 2001:db8:1::11\n"
        "ports = 25 993\nstore4 = 10.77.1.2\nstore6 = fd77:1::2\n"
        "source = header\nmode = drain\nper_source = 7\n"
        "something_newer = 1\n";
    assert_int_equal(settings_parse("x", good, strlen(good), &s, &err), 0);
    assert_int_equal(s.listen_count, 2);
    assert_int_equal(s.listen[1].ss_family, AF_INET6);
    assert_int_equal(s.port_count, 2);
    assert_int_equal(s.ports[1], 993);
    assert_false(s.transparent);
    assert_int_equal(s.mode, CM_MODE_DRAIN);
    assert_int_equal(s.per_source, 7);
    assert_int_equal(s.connections, 20000);
    assert_true(s.has_store6);
    static const char *const bad[][2] = {
        {"[proxy]\n", "x: [proxy] listen is missing"},
        {"[proxy]\nlisten = a\n", "x:2: listen = a: allowed: up to 8"},
        {"[proxy]\nlisten = 1.2.3.4\nports = 65000\n", "x:3: ports = 65000: "},
        {"[proxy]\nlisten = 1.2.3.4\nports = 25\nstore4 = ::1\n",
         "x:4: store4 = ::1: "},
        {"[proxy]\nlisten = 1.2.3.4\nports = 25\nstore4 = 1.2.3.4\nsource = no\n",
         "x:5: source = no: allowed: transparent or header"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(settings_parse("x", bad[i][0], strlen(bad[i][0]), &s, &err),
                         -1);
        if (strncmp(err.text, bad[i][1], strlen(bad[i][1])) != 0) {
            fail_msg("%s", err.text);
        }
    }
}

static void test_pulse_packets(void **state)
{
    (void)state;
    unsigned char packet[36] = {0x45};
    assert_int_equal(pulse_request(0xabcd, 0x0102, packet + 20), 16);
    uint32_t sum = 0;
    for (int i = 20; i < 36; i += 2) {
        sum += (uint32_t)(packet[i] << 8 | packet[i + 1]);
    }
    assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff); /* RFC 1071 */
    assert_false(pulse_is_reply(packet, 36, 0xabcd));       /* our own request */
    packet[20] = 0;
    assert_true(pulse_is_reply(packet, 36, 0xabcd));
    assert_false(pulse_is_reply(packet, 36, 0xabce));
    assert_false(pulse_is_reply(packet, 27, 0xabcd));
    packet[0] = 0x4f; /* a header longer than the packet */
    assert_false(pulse_is_reply(packet, 36, 0xabcd));
    packet[0] = 0x41;
    assert_false(pulse_is_reply(packet, 36, 0xabcd));
    assert_false(pulse_is_reply(packet, 0, 0xabcd));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),        cmocka_unit_test(test_sources_limit),
        cmocka_unit_test(test_sources_model), cmocka_unit_test(test_settings),
        cmocka_unit_test(test_pulse_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
