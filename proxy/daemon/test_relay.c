/* Relays on loopback: this thread plays client and store, and turns the loop. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "relay.h"

#define MAX    4
#define TURNS  400
#define STREAM (8u << 20)

static struct cm_loop *loop;
static struct relays *relays;
static int public_fd, store_fd; /* listeners */
static struct relay_target target;
static unsigned gone;

static int listen_any(struct sockaddr_storage *address_r)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    relay_tune_door(fd);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    memset(address_r, 0, sizeof(*address_r));
    memcpy(address_r, &in, sizeof(in));
    return fd;
}

static void on_gone(const struct sockaddr_storage *client, void *ctx)
{
    (void)client;
    (void)ctx;
    gone++;
}

static void turn(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        cm_loop_once(loop, 1);
    }
}

static struct sockaddr_storage public_address;

/* A client's socket, whose other half is a relay's now; false: it was refused. */
static bool arrive(int *client_r)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    *client_r = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(*client_r, (struct sockaddr *)&public_address,
                             sizeof(struct sockaddr_in)),
                     0);
    int fd = accept4(public_fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK);
    assert_true(fd >= 0);
    bool taken = relays_add(relays, fd, &from, &target);
    assert_int_equal(fcntl(*client_r, F_SETFL, O_NONBLOCK), 0);
    return taken;
}

static int serve(void)
{
    int fd = accept4(store_fd, NULL, NULL, SOCK_NONBLOCK);
    assert_true(fd >= 0);
    turn(20);
    return fd;
}

/* Reads `want` bytes or until the end; *why_r: 0 end, -1 as many as wanted, else errno.
 */
static size_t hear(int fd, char *data, size_t want, int *why_r)
{
    size_t have = 0;
    for (int i = 0; i < TURNS && have < want; i++) {
        ssize_t n = recv(fd, data + have, want - have, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            *why_r = n == 0 ? 0 : errno;
            return have;
        }
        have += n > 0 ? (size_t)n : 0;
        turn(1);
    }
    *why_r = -1;
    return have;
}

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    gone = 0;
    loop = cm_loop_new();
    relays = relays_new(loop, MAX, on_gone, NULL);
    public_fd = listen_any(&public_address);
    target = (struct relay_target){.address_len = sizeof(struct sockaddr_in)};
    store_fd = listen_any(&target.address);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    relays_free(&relays);
    cm_loop_free(&loop);
    close(public_fd);
    if (store_fd >= 0) {
        close(store_fd);
    }
    return 0;
}

/* Seconds until the kernel asks the relay's client whether it is there; -1: never. */
static int asked_in_s(int client)
{
    struct sockaddr_in own;
    socklen_t len = sizeof(own);
    char line[256], want[32];
    int s = -1;
    assert_int_equal(getsockname(client, (struct sockaddr *)&own, &len), 0);
    snprintf(want, sizeof(want), "0100007F:%04X", ntohs(own.sin_port));
    FILE *f = fopen("/proc/self/net/tcp", "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        char other[32];
        unsigned timer, ticks;
        if (sscanf(line, " %*d: %*s %31s %*x %*x:%*x %x:%x", other, &timer, &ticks) ==
                3 &&
            strcmp(other, want) == 0 && timer == 2) {
            s = (int)(ticks / (unsigned)sysconf(_SC_CLK_TCK));
        }
    }
    fclose(f);
    return s;
}

/* Boxes on the way remember a silent connection for five minutes; RFC 5382 wishes for
 * more. And the answers to all questions fit into the time that TCP is given. */
static void asks_who_is_silent(void **state)
{
    int client;
    (void)state;
    assert_true(arrive(&client));
    int store = serve();
    assert_in_range(asked_in_s(client), 60, 120);
    assert_true(RELAY_KEEPALIVE_S + 4 * RELAY_ASK_AGAIN_S <= RELAY_STALLED_MS / 1000);
    close(client);
    close(store);
    turn(20);
}

static void test_bytes_and_half_close(void **state)
{
    (void)state;
    int client, why;
    char text[64];
    assert_true(arrive(&client));
    int store = serve();
    assert_int_equal(hear(store, text, 28, &why), 28); /* PROXY v2 */
    assert_int_equal((unsigned char)text[12], 0x21);
    assert_int_equal(send(client, "hello", 5, 0), 5);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    assert_int_equal(hear(store, text, 64, &why), 5);
    assert_int_equal(why, 0); /* the end came through, the other half lives */
    assert_int_equal(send(store, "goodbye", 7, 0), 7);
    assert_int_equal(hear(client, text, 7, &why), 7);
    assert_memory_equal(text, "goodbye", 7);
    assert_int_equal(gone, 0);
    close(store);
    assert_int_equal(hear(client, text, 1, &why), 0);
    assert_int_equal(why, 0);
    turn(5);
    assert_int_equal(gone, 1);
    assert_int_equal(relays_counts(relays)->reset, 0);
    assert_int_equal(relays_counts(relays)->bytes_up, 5);
    assert_int_equal(relays_counts(relays)->bytes_down, 7);
    close(client);
}

/* Who does not read holds the other back; what was sent arrives all the same. */
static void test_back_pressure(void **state)
{
    (void)state;
    int client, why;
    char *data = malloc(STREAM), *got = malloc(STREAM);
    for (size_t i = 0; i < STREAM; i++) {
        data[i] = (char)(i * 2654435761u >> 13);
    }
    assert_true(arrive(&client));
    int store = serve();
    assert_int_equal(hear(store, got, 28, &why), 28);
    size_t sent = 0;
    for (int i = 0; i < 200; i++) { /* until nothing more goes in */
        ssize_t n = send(store, data + sent, STREAM - sent, MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        turn(1);
    }
    size_t stuck = sent, have = 0;
    assert_true(stuck > 0);
    for (int i = 0; i < 100000 && have < STREAM; i++) {
        ssize_t n = recv(client, got + have, STREAM - have, 0);
        assert_true(n > 0 || errno == EAGAIN);
        have += n > 0 ? (size_t)n : 0;
        n = send(store, data + sent, STREAM - sent, MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        turn(1);
    }
    assert_int_equal(have, STREAM);
    assert_memory_equal(got, data, STREAM);
    assert_int_equal(gone, 0);
    close(client);
    close(store);
    free(data);
    free(got);
}

static void test_reset_is_passed_on(void **state)
{
    (void)state;
    int client, why;
    char text[64];
    assert_true(arrive(&client));
    int store = serve();
    assert_int_equal(hear(store, text, 28, &why), 28);
    relay_reset_fd(store);
    turn(20);
    assert_int_equal(hear(client, text, 1, &why), 0);
    assert_int_equal(why, ECONNRESET);
    assert_int_equal(gone, 1);
    close(client);
    assert_true(arrive(&client));
    store = serve();
    assert_int_equal(hear(store, text, 28, &why), 28);
    relay_reset_fd(client);
    turn(20);
    assert_int_equal(hear(store, text, 1, &why), 0);
    assert_int_equal(why, ECONNRESET);
    close(store);
}

static void test_limit_and_reset_all(void **state)
{
    (void)state;
    int client[MAX + 1], why;
    char text[1];
    for (int i = 0; i < MAX; i++) {
        assert_true(arrive(&client[i]));
    }
    assert_false(arrive(&client[MAX]));
    assert_int_equal(hear(client[MAX], text, 1, &why), 0);
    assert_int_equal(why, ECONNRESET);
    turn(20);
    assert_int_equal(relays_counts(relays)->refused, 1);
    assert_int_equal(relays_reset_all(relays), MAX);
    for (int i = 0; i < MAX; i++) {
        assert_int_equal(hear(client[i], text, 1, &why), 0);
        assert_int_equal(why, ECONNRESET);
    }
    assert_int_equal(gone, MAX);
    assert_int_equal(relays_counts(relays)->open, 0);
    for (int i = 0; i <= MAX; i++) {
        close(client[i]);
    }
}

static void test_store_refuses(void **state)
{
    (void)state;
    int client, why;
    char text[1];
    close(store_fd);
    store_fd = -1;
    (void)!arrive(&client); /* loopback may refuse at once */
    turn(20);
    assert_int_equal(hear(client, text, 1, &why), 0);
    assert_int_equal(why, ECONNRESET);
    assert_int_equal(relays_counts(relays)->unconnected, 1);
    assert_int_equal(relays_counts(relays)->open, 0);
    close(client);
}

/* A listener whose backlog is full does not answer. */
static void test_store_silent(void **state)
{
    (void)state;
    int client, why, filler[8];
    char text[1];
    close(store_fd);
    store_fd = listen_any(&target.address);
    assert_int_equal(listen(store_fd, 0), 0);
    for (int i = 0; i < 8; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(filler[i], (struct sockaddr *)&target.address,
                       target.address_len);
    }
    assert_true(arrive(&client));
    turn(50);
    assert_int_equal(relays_counts(relays)->open, 1);
    cm_clock_shift(RELAY_CONNECT_MS);
    turn(1200);
    cm_clock_shift(0);
    assert_int_equal(relays_counts(relays)->open, 0);
    assert_int_equal(hear(client, text, 1, &why), 0);
    assert_int_equal(why, ECONNRESET);
    for (int i = 0; i < 8; i++) {
        close(filler[i]);
    }
    close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(asks_who_is_silent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bytes_and_half_close, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_back_pressure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reset_is_passed_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limit_and_reset_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_store_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_store_silent, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
