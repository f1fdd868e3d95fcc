#include "stun.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* RFC 5769, 2.2: a response with its mapped address, without integrity and fingerprint.
 */
static const uint8_t response[] = {
    0x01, 0x01, 0x00, 0x1c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01,
    0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b,
    0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20,
    0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43};

static void test_read(void **state)
{
    (void)state;
    struct stun m;
    struct sockaddr_storage address;
    char text[32], host[46];
    memcpy(m.data, response, sizeof response);
    assert_true(stun_check(&m, sizeof response));
    stun_text(&m, STUN_SOFTWARE, text, sizeof text);
    assert_string_equal(text, "test vector");
    assert_true(stun_address(&m, 0x0020, &address));
    const struct sockaddr_in *in = (const void *)&address;
    inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
    assert_string_equal(host, "192.0.2.1");
    assert_int_equal(ntohs(in->sin_port), 32853);
    assert_false(stun_address(&m, STUN_RELAYED, &address));
    assert_int_equal(stun_error(&m), 0);
}

/* No length that the message claims may lead outside of it. */
static void test_malformed(void **state)
{
    (void)state;
    struct stun m;
    for (size_t len = 0; len < sizeof response; len++) {
        memcpy(m.data, response, sizeof response);
        assert_false(stun_check(&m, len));
    }
    memcpy(m.data, response, sizeof response);
    m.data[23] = 0xff;
    assert_false(stun_check(&m, sizeof response));
    memcpy(m.data, response, sizeof response);
    m.data[4] ^= 1;
    assert_false(stun_check(&m, sizeof response));
}

static void test_addresses(void **state)
{
    (void)state;
    struct stun m, other;
    struct sockaddr_storage back;
    struct sockaddr_storage v6 = {.ss_family = AF_INET6};
    struct sockaddr_in6 *in6 = (void *)&v6;
    inet_pton(AF_INET6, "2001:db8:1::11", &in6->sin6_addr);
    in6->sin6_port = htons(49160);
    stun_begin(&m, STUN_PERMIT);
    stun_add_address(&m, STUN_PEER, &v6);
    assert_true(stun_check(&m, m.len));
    assert_true(stun_address(&m, STUN_PEER, &back));
    assert_memory_equal(&v6, &back, sizeof v6);
    /* An answer is one by type and transaction. */
    stun_begin(&other, STUN_PERMIT | STUN_OK);
    assert_false(stun_answers(&other, &m));
    memcpy(other.data + 8, m.data + 8, STUN_ID_SIZE);
    assert_true(stun_answers(&other, &m));
    assert_false(stun_answers(&m, &m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read),
                                       cmocka_unit_test(test_malformed),
                                       cmocka_unit_test(test_addresses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
