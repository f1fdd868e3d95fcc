#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "inetsum.h"

/* The example of RFC 1071, section 3. */
static const unsigned char example[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

static void example_of_the_rfc(void **unused)
{
    (void)unused;
    uint32_t sum = cm_inetsum_add(0, example, sizeof(example));
    assert_int_equal(cm_inetsum_done(sum), htons(0x220d));
    sum = cm_inetsum_add(cm_inetsum_add(0, example, 2), example + 2, 6);
    assert_int_equal(cm_inetsum_done(sum), htons(0x220d));
}

static void last_odd_byte(void **unused)
{
    (void)unused;
    static const unsigned char padded[] = {0x12, 0x34, 0x56, 0};
    assert_int_equal(cm_inetsum_add(0, padded, 3), cm_inetsum_add(0, padded, 4));
    assert_int_equal(cm_inetsum_add(0, padded, 0), 0);
}

/* A packet with its checksum in it sums up to nothing. */
static void carries_are_folded(void **unused)
{
    (void)unused;
    unsigned char packet[1500] = {0};
    for (size_t i = 2; i < sizeof(packet); i++) {
        packet[i] = 0xff;
    }
    uint16_t sum = cm_inetsum_done(cm_inetsum_add(0, packet, sizeof(packet)));
    packet[0] = ((const unsigned char *)&sum)[0];
    packet[1] = ((const unsigned char *)&sum)[1];
    assert_int_equal(cm_inetsum_done(cm_inetsum_add(0, packet, sizeof(packet))), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_of_the_rfc),
        cmocka_unit_test(last_odd_byte),
        cmocka_unit_test(carries_are_folded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
