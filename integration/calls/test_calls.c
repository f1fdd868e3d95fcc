/* What a caller may do with the TURN servers of a store, through its gateways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/clock.h"
#include "net.h"
#include "probe/relay.h"

#define DAY_S   86400
#define LATE_MS 700

static const char *const doors[] = {"198.51.100.11", "203.0.113.12", "2001:db8:1::11",
                                    "2001:db8:2::12"};
#define DOORS 4

/* A peer beside each door, and the relayed address that is to be had there. */
static const char *const peers[] = {"198.51.100.40", "203.0.113.40", "2001:db8:1::40",
                                    "2001:db8:2::40"};

static char user[24], password[64];

static int family_of(const char *address)
{
    return strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
}

static void make_credentials(int64_t expiry_s)
{
    unsigned char mac[20];
    unsigned len;
    snprintf(user, sizeof user, "%lld", (long long)expiry_s);
    HMAC(EVP_sha1(), NET_SECRET, (int)strlen(NET_SECRET), (unsigned char *)user,
         strlen(user), mac, &len);
    EVP_EncodeBlock((unsigned char *)password, mac, (int)len);
}

static int good_credentials(void **unused)
{
    (void)unused;
    make_credentials(cm_now_wall_ms() / 1000 + DAY_S);
    return 0;
}

static struct relay *call(const char *door)
{
    struct relay_to to = {.netns = net_path(NET_WORLD),
                          .server = {.port = 3478},
                          .user = user,
                          .password = password};
    struct cm_err err;
    snprintf(to.server.host, sizeof to.server.host, "%s", door);
    struct relay *relay = relay_open(&to, &err);
    assert_non_null(relay);
    return relay;
}

static int allocate(struct relay *relay, int family, struct relay_end *end)
{
    int code = -1;
    struct cm_err err;
    if (relay_allocate(relay, family, end, &code, &err) != 0) {
        print_message("%s\n", err.text);
        return -1;
    }
    return code;
}

static int permit(struct relay *relay, const char *host)
{
    struct relay_end peer = {.port = 9};
    int code = -1;
    struct cm_err err;
    snprintf(peer.host, sizeof peer.host, "%s", host);
    assert_int_equal(relay_permit(relay, &peer, &code, &err), 0);
    return code;
}

static void must_hear(int rc, const char *text, const char *want)
{
    assert_int_equal(rc, 1);
    assert_string_equal(text, want);
}

/* Both directions between the relay and a peer that is bound to `host`. */
static void talk(struct relay *relay, const struct relay_end *relayed, const char *host)
{
    struct relay_end peer, from;
    struct cm_err err;
    char text[RELAY_DATA + 1];
    int fd = relay_peer(net_path(NET_WORLD), host, &peer, &err);
    assert_true(fd >= 0);
    assert_int_equal(permit(relay, host), 0);
    assert_int_equal(relay_send(relay, &peer, "there", &err), 0);
    must_hear(relay_peer_receive(fd, 3000, text, &from, &err), text, "there");
    assert_string_equal(from.host, relayed->host);
    assert_int_equal(from.port, relayed->port);
    assert_int_equal(relay_peer_send(fd, &from, "back", &err), 0);
    must_hear(relay_receive(relay, 3000, text, &from, &err), text, "back");
    assert_string_equal(from.host, peer.host);
    assert_int_equal(from.port, peer.port);
    close(fd);
}

/* ---- what must hold ---- */

/* The relayed address is of the gateway that the caller came in by, in either family.
 */
static void relays_by_the_same_gateway(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < DOORS; i++) {
        for (size_t j = 0; j < 2; j++) {
            size_t same = i % 2 + (j == 0 ? 0 : 2);
            struct relay_end end;
            struct relay *relay = call(doors[i]);
            assert_int_equal(allocate(relay, family_of(doors[same]), &end), 0);
            assert_string_equal(end.host, doors[same]);
            assert_in_range(end.port, 49160, 49359);
            assert_false(relay_told_software(relay));
            talk(relay, &end, peers[same]);
            relay_close(&relay);
        }
    }
}

static void strangers_are_not_let_in(void **unused)
{
    (void)unused;
    struct relay_end end, from;
    struct cm_err err;
    char text[RELAY_DATA + 1];
    struct relay *relay = call(doors[0]);
    assert_int_equal(allocate(relay, AF_INET, &end), 0);
    int fd = relay_peer(net_path(NET_WORLD), peers[0], &from, &err);
    assert_true(fd >= 0);
    assert_int_equal(relay_peer_send(fd, &end, "knock", &err), 0);
    assert_int_equal(relay_receive(relay, LATE_MS, text, &from, &err), 0);
    close(fd);
    relay_close(&relay);
}

/* Two callers who can reach each other through their relays only. */
static void between(const char *door_a, const char *door_b)
{
    struct relay_end a_end, b_end, from;
    struct cm_err err;
    char text[RELAY_DATA + 1];
    struct relay *a = call(door_a), *b = call(door_b);
    assert_int_equal(allocate(a, family_of(door_a), &a_end), 0);
    assert_int_equal(allocate(b, family_of(door_b), &b_end), 0);
    assert_int_equal(permit(a, b_end.host), 0);
    assert_int_equal(permit(b, a_end.host), 0);
    assert_int_equal(relay_send(a, &b_end, "hello", &err), 0);
    must_hear(relay_receive(b, 3000, text, &from, &err), text, "hello");
    assert_string_equal(from.host, a_end.host);
    assert_int_equal(from.port, a_end.port);
    assert_int_equal(relay_send(b, &from, "hi", &err), 0);
    must_hear(relay_receive(a, 3000, text, &from, &err), text, "hi");
    relay_close(&a);
    relay_close(&b);
}

static void relay_to_relay(void **unused)
{
    (void)unused;
    between(doors[0], doors[1]); /* out by one tunnel, in by the other */
    between(doors[0], doors[0]); /* inside one server */
    between(doors[2], doors[3]);
    between(doors[2], doors[2]);
}

static void wrong_credentials(void **unused)
{
    (void)unused;
    struct relay_end end;
    struct relay *relay = call(doors[0]);
    password[0] ^= 1;
    assert_int_equal(allocate(relay, AF_INET, &end), 401);
    relay_close(&relay);
    make_credentials(cm_now_wall_ms() / 1000 - 60); /* over */
    relay = call(doors[1]);
    assert_int_equal(allocate(relay, AF_INET, &end), 401);
    relay_close(&relay);
}

static void denied_peers(void **unused)
{
    (void)unused;
    static const char *const v4[] = {
        "10.9.0.2",   "127.0.0.1",   "10.77.1.1",       "10.77.2.2",
        "172.20.1.1", "192.168.1.1", "169.254.169.254", "224.0.0.1",
        "100.64.0.1", "0.0.0.0",     "198.18.0.1",      "255.255.255.255"};
    static const char *const v6[] = {
        "::",      "::1",     "fd77:1::1",      "fd77:2::2",       "fe80::1",
        "fc00::1", "ff02::1", "64:ff9b::a09:2", "::ffff:10.9.0.2", "2002:a09:2::1"};
    struct relay_end end;
    struct relay *relay = call(doors[0]);
    assert_int_equal(allocate(relay, AF_INET, &end), 0);
    for (size_t i = 0; i < sizeof v4 / sizeof *v4; i++) {
        int code = permit(relay, v4[i]);
        if (code != 403) {
            fail_msg("%s: %d", v4[i], code);
        }
    }
    relay_close(&relay);
    relay = call(doors[2]);
    assert_int_equal(allocate(relay, AF_INET6, &end), 0);
    for (size_t i = 0; i < sizeof v6 / sizeof *v6; i++) {
        int code = permit(relay, v6[i]);
        if (code != 403) {
            fail_msg("%s: %d", v6[i], code);
        }
    }
    relay_close(&relay);
}

/* The relay's own public address is a peer like any other, but nothing except another
 * relay answers there: not what else listens on the store. */
static void services_of_the_store(void **unused)
{
    (void)unused;
    static const struct {
        const char *door, *listens;
    } cases[] = {{"198.51.100.11", "10.77.1.2"}, {"2001:db8:1::11", "fd77:1::2"}};
    for (size_t i = 0; i < 2; i++) {
        struct relay_end end, service, from;
        struct cm_err err;
        char text[RELAY_DATA + 1];
        int fd = relay_peer(net_path(NET_STORE), cases[i].listens, &service, &err);
        assert_true(fd >= 0);
        struct relay *relay = call(cases[i].door);
        assert_int_equal(allocate(relay, family_of(cases[i].door), &end), 0);
        assert_int_equal(permit(relay, cases[i].door), 0);
        snprintf(end.host, sizeof end.host, "%s", cases[i].door);
        end.port = service.port;
        assert_int_equal(relay_send(relay, &end, "inside", &err), 0);
        assert_int_equal(relay_peer_receive(fd, LATE_MS, text, &from, &err), 0);
        close(fd);
        relay_close(&relay);
    }
}

/* Drain: who is there goes on, who comes is told at once. Hold: who comes waits. Off:
 * nobody gets through. */
static void modes(void **unused)
{
    (void)unused;
    struct relay_end end, other;
    struct cm_err err;
    char text[RELAY_DATA + 1];
    int code;
    struct relay *present = call(doors[0]);
    assert_int_equal(allocate(present, AF_INET, &end), 0);
    talk(present, &end, peers[0]);

    net_mode(1, CM_MODE_DRAIN);
    talk(present, &end, peers[0]);
    struct relay *late = call(doors[0]);
    int64_t start = cm_now_mono_ms();
    assert_int_equal(relay_allocate(late, AF_INET, &other, &code, &err), -1);
    assert_non_null(strstr(err.text, "refused"));
    assert_true(cm_now_mono_ms() - start < 1000);
    relay_close(&late);

    net_mode(1, CM_MODE_HOLD);
    talk(present, &end, peers[0]);
    late = call(doors[0]);
    assert_int_equal(relay_allocate(late, AF_INET, &other, &code, &err), -1);
    assert_non_null(strstr(err.text, "no answer"));
    net_mode(1, CM_MODE_ACTIVE);
    assert_int_equal(relay_allocate(late, AF_INET, &other, &code, &err), 0);
    assert_int_equal(code, 0);
    relay_close(&late);

    net_mode(1, CM_MODE_OFF);
    (void)!relay_send(present, &end, "x", &err);
    assert_true(relay_receive(present, LATE_MS, text, &other, &err) <= 0);
    assert_true(net_counted(NET_EDGE1, "refused") > 0);
    net_mode(1, CM_MODE_ACTIVE);
    assert_true(net_counted(NET_EDGE1, "flows_turn") == 0);
    relay_close(&present);
    struct relay *again = call(doors[0]);
    assert_int_equal(allocate(again, AF_INET, &other), 0);
    assert_true(net_counted(NET_EDGE1, "flows_turn") > 0);
    relay_close(&again);
}

static int tear_down(void **unused)
{
    (void)unused;
    net_down();
    return 0;
}

static int set_up(void **unused)
{
    (void)unused;
    if (!net_up()) {
        fprintf(stderr, "needs root, ip, nft and turnserver\n");
        exit(77);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(relays_by_the_same_gateway, good_credentials),
        cmocka_unit_test_setup(strangers_are_not_let_in, good_credentials),
        cmocka_unit_test_setup(relay_to_relay, good_credentials),
        cmocka_unit_test_setup(wrong_credentials, good_credentials),
        cmocka_unit_test_setup(denied_peers, good_credentials),
        cmocka_unit_test_setup(services_of_the_store, good_credentials),
        cmocka_unit_test_setup(modes, good_credentials),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
