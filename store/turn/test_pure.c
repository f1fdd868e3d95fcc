/* Settings file, table of sockets, and when silence is too long. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "settings.h"
#include "sockets.h"
#include "watch.h"

#define BOTH                                                                           \
    "# Calls that come in by edge1.\nrealm=_chat.example\nlistening-port=3478\n"       \
    "listening-ip=10.77.1.2\nexternal-ip=198.51.100.11/10.77.1.2\n"                    \
    "listening-ip=fd77:1::2\nmin-port=49160\nmax-port=49359\nno-tcp\n"

static int parse(const char *text, struct settings *s, struct cm_err *err)
{
    char *copy = cm_strdup(text);
    int rc = settings_parse(copy, s, err);
    free(copy);
    return rc;
}

static void test_settings(void **state)
{
    (void)state;
    struct settings s;
    struct cm_err err;
    char text[INET6_ADDRSTRLEN];
    assert_int_equal(parse(BOTH, &s, &err), 0);
    assert_int_equal(s.address_count, 2);
    assert_int_equal(s.port_min, 49160);
    assert_int_equal(s.port_max, 49359);
    const struct sockaddr_in *in = (const void *)&s.addresses[0];
    const struct sockaddr_in6 *in6 = (const void *)&s.addresses[1];
    assert_int_equal(in->sin_family, AF_INET);
    assert_string_equal(inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)),
                        "10.77.1.2");
    assert_int_equal(ntohs(in->sin_port), 3478);
    assert_int_equal(in6->sin6_family, AF_INET6);
    assert_string_equal(inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)),
                        "fd77:1::2");
    assert_int_equal(ntohs(in6->sin6_port), 3478);
}

static void test_bad_settings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "no listening-ip"},
        {"listening-ip=1.2.3.4\nlistening-port=3478\nmin-port=9\n", "no listening-ip"},
        {"listening-ip=1.2.3.4\nlistening-port=3478\nmin-port=9\nmax-port=8\n", "no "},
        {"listening-ip=here\n", "no address"},
        {"listening-ip=1.2.3.4\nlistening-ip=1.2.3.5\n", "of one family"},
        {BOTH "listening-ip=::3\n", "more than 2"},
        {"listening-port=0\n", "no port"},
        {"listening-port=3478x\n", "no port"},
        {"min-port=65536\n", "no port"},
        {"max-port=\n", "no port"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct settings s;
        struct cm_err err;
        assert_int_equal(parse(bad[i].text, &s, &err), -1);
        if (strstr(err.text, bad[i].why) == NULL) {
            fail_msg("%zu: %s", i, err.text);
        }
    }
}

#define HEAD "  sl  local_address rem_address   st tx_queue rx_queue\n"
#define REST " 00000000:0000 07 00000000:00000000 00:00000000 00000000   110\n"

/* 49160 is C008, 49359 is C0CF. */
static void test_sockets(void **state)
{
    (void)state;
    struct settings s;
    struct cm_err err;
    uint32_t words[5];
    char v4[9], v6[33], other[33], text[2048];
    assert_int_equal(parse(BOTH, &s, &err), 0);
    memcpy(words,
           &((const struct sockaddr_in *)(const void *)&s.addresses[0])->sin_addr, 4);
    memcpy(words + 1,
           &((const struct sockaddr_in6 *)(const void *)&s.addresses[1])->sin6_addr,
           16);
    snprintf(v4, sizeof(v4), "%08X", words[0]);
    snprintf(v6, sizeof(v6), "%08X%08X%08X%08X", words[1], words[2], words[3],
             words[4]);
    snprintf(other, sizeof(other), "%08X%08X%08X%08X", words[1], words[2], words[3],
             ~words[4]);
    snprintf(text, sizeof(text),
             HEAD "    1: %s:0D96" REST "    2: %s:C008" REST "    3: %s:C0CF" REST
                  "    4: %s:C0D0" REST "    5: 00000000:C009" REST
                  "    6: %s:C007" REST,
             v4, v4, v4, v4, v4);
    assert_int_equal(sockets_count(text, &s), 2);
    snprintf(text, sizeof(text), HEAD "    1: %s:C010" REST "    2: %s:C010" REST, v6,
             other);
    assert_int_equal(sockets_count(text, &s), 1);
    assert_int_equal(sockets_count(HEAD, &s), 0);
    assert_int_equal(sockets_count("", &s), 0);
    assert_int_equal(sockets_count(HEAD "nonsense\n  1: XYZ:C010\n 1: 0A:\n\n", &s), 0);
}

static void test_silence(void **state)
{
    (void)state;
    struct watch w;
    watch_init(&w);
    for (int i = 1; i < WATCH_FIRST_MAX; i++) {
        watch_note(&w, -1);
        assert_false(watch_is_over(&w));
        assert_false(watch_is_up(&w));
    }
    struct watch never = w;
    watch_note(&never, -1);
    assert_true(watch_is_over(&never));
    watch_note(&w, 3);
    assert_true(watch_is_up(&w));
    for (int i = 1; i <= WATCH_MISSES_MAX; i++) {
        assert_false(watch_is_over(&w));
        watch_note(&w, -1);
        assert_false(watch_is_up(&w));
    }
    assert_true(watch_is_over(&w));
    assert_int_equal(w.answered, 1);
    assert_int_equal(w.missed, WATCH_FIRST_MAX - 1 + WATCH_MISSES_MAX);
    assert_int_equal(w.took_ms, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_bad_settings),
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
