/* What a client is told at the door. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "doors.h"

/* Settings take none from which PROXY v2 would have no port. */
#define PORT_MAX (65535 - SETTINGS_HEADER_PORTS)

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    uint16_t port = ntohs(at.sin_port);
    return port <= PORT_MAX ? port : (uint16_t)(port - SETTINGS_HEADER_PORTS);
}

/* The largest segment that may be sent to that door, by its own word. */
static int segment(int family, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int mss = 0, fd = socket(family, SOCK_STREAM, 0);
    socklen_t len = sizeof(mss);
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6.sin6_addr = in6addr_loopback;
    int rc = family == AF_INET ? connect(fd, (struct sockaddr *)&v4, sizeof(v4))
                               : connect(fd, (struct sockaddr *)&v6, sizeof(v6));
    assert_int_equal(rc, 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, &len), 0);
    close(fd);
    return mss;
}

/* The loopback's MTU would allow 65483. Time stamps take 12 of it. */
static void segments_fit_the_tunnel(void **unused)
{
    (void)unused;
    char text[256];
    struct settings settings;
    struct cm_err err;
    uint16_t port = free_port();
    struct cm_loop *loop = cm_loop_new();
    struct doors *doors = doors_new(loop, 10);
    snprintf(text, sizeof(text),
             "[proxy]\nlisten = 127.0.0.1 ::1\nports = %u\nstore4 = 127.0.0.2\n"
             "store6 = ::1\nsource = transparent\nmode = active\n",
             port);
    assert_int_equal(settings_parse("test", text, strlen(text), &settings, &err), 0);
    if (doors_set(doors, &settings, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_in_range(segment(AF_INET, port), 1000, 1240);
    assert_in_range(segment(AF_INET6, port), 1000, 1220);
    doors_free(&doors);
    cm_loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_fit_the_tunnel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
