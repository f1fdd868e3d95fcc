#include "tattle.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mem.h"

#define STORE     "10.77.1.2"
#define BUS       4710
#define SQUATTERS 70 /* more than a publishing end has room for */

/* nanomsg over TCP: eight bytes from each side, then a length of eight before each
 * message, and of a question's a header of four. */
enum { PUB = 0x20, SUB = 0x21, REQ = 0x30, REP = 0x31, PUSH = 0x50, PULL = 0x51 };

static void say_hello(int fd, int protocol)
{
    uint8_t hello[8] = {0, 'S', 'P', 0, 0, (uint8_t)protocol, 0, 0}, answer[8];
    (void)!send(fd, hello, sizeof hello, MSG_NOSIGNAL);
    (void)!recv(fd, answer, sizeof answer, MSG_WAITALL);
}

static int dial(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval limit = {.tv_sec = 3};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, STORE, &to.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void send_length(int fd, uint64_t len)
{
    uint8_t head[8];
    for (int i = 0; i < 8; i++) {
        head[i] = (uint8_t)(len >> (56 - 8 * i));
    }
    (void)!send(fd, head, sizeof head, MSG_NOSIGNAL);
}

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return; /* it hung up: that is its right */
        }
        data += n;
        len -= (size_t)n;
    }
}

/* To the socket that takes reports, or to the one that answers questions. */
static bool message(int port, int protocol, const char *data, size_t len)
{
    static const char id[4] = {(char)0x80, 0, 0, 1};
    int fd = dial(port);
    if (fd < 0) {
        return false;
    }
    say_hello(fd, protocol);
    send_length(fd, len + (protocol == REQ ? sizeof id : 0));
    if (protocol == REQ) {
        send_all(fd, id, sizeof id);
    }
    send_all(fd, data, len);
    usleep(50000);
    close(fd);
    return true;
}

static bool told(const char *data, size_t len)
{
    return message(BUS + 2, PUSH, data, len) && message(BUS + 1, REQ, data, len);
}

static bool texts(int64_t epoch, size_t *kinds)
{
    static const char *const formats[] = {
        "",
        "{",
        "[]",
        "null",
        "{\"format\":\"9.0\",\"name\":\"edge1\"}",
        "{\"format\":\"1.1\",\"name\":\"edge2\",\"version\":\"1\",\"applied_epoch\":%"
        "lld,"
        "\"applied_mode\":\"off\",\"handshake_age_s\":-1,\"flows\":0,\"rx_bytes\":0,"
        "\"tx_bytes\":0,\"error\":\"edge2 is broken\"}",
        "{\"format\":\"1.1\",\"name\":\"edge1\",\"version\":\"1\",\"applied_epoch\":"
        "9223372036854775807,\"applied_mode\":\"active\",\"handshake_age_s\":1,"
        "\"flows\":-9,\"rx_bytes\":1,\"tx_bytes\":1,\"error\":\"\"}",
        "{\"format\":\"1.1\",\"name\":\"edge1\",\"version\":\"1\",\"applied_epoch\":%"
        "lld1,"
        "\"applied_mode\":\"active\",\"handshake_age_s\":1,\"flows\":1,\"rx_bytes\":1,"
        "\"tx_bytes\":1,\"error\":\"\\u0000\\u001b[31m\"}",
        "{\"format\":\"1.1\",\"name\":\"../../etc\",\"have\":%lld}",
        "{\"have\":-1,\"name\":\"';drop table desired_state;--\"}",
    };
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        char text[1024];
        /* NOLINTNEXTLINE: formats of this file */
        const char *at = strstr(formats[i], "%lld");
        if (at != NULL) {
            snprintf(text, sizeof text, "%.*s%lld%s", (int)(at - formats[i]),
                     formats[i], (long long)epoch, at + 4);
        } else {
            snprintf(text, sizeof text, "%s", formats[i]);
        }
        if (!told(text, strlen(text))) {
            return false;
        }
        ++*kinds;
    }
    return true;
}

/* Filled with one byte, with brackets that never close, with zeros; up to what the bus
 * lets through (512 KiB), and past it. */
static bool bulks(size_t *kinds)
{
    static const struct {
        char fill;
        size_t len;
    } all[] = {{'x', 4097},        {'[', 4096},       {'{', 100000},
               {'\0', 524288 - 8}, {'9', 524288 + 1}, {'"', 2000000}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char *data = cm_malloc(all[i].len);
        memset(data, all[i].fill, all[i].len);
        bool ok = told(data, all[i].len);
        free(data);
        if (!ok) {
            return false;
        }
        ++*kinds;
    }
    return true;
}

/* No nanomsg, or lengths that nothing follows. */
static bool rubbish(size_t *kinds)
{
    static const uint64_t lengths[] = {0, UINT64_MAX, UINT64_C(1) << 62,
                                       UINT64_C(1) << 31, 3};
    static const int protocols[] = {SUB, REQ, PUSH, PUB, REP, PULL, 0xff};
    for (int port = BUS; port <= BUS + 2; port++) {
        int fd = dial(port);
        if (fd < 0) {
            return false;
        }
        send_all(fd, "GET / HTTP/1.1\r\nHost: store\r\n\r\n", 33);
        close(fd);
        for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
            if ((fd = dial(port)) < 0) {
                return false;
            }
            say_hello(fd, protocols[i]);
            send_length(fd, lengths[i % (sizeof lengths / sizeof lengths[0])]);
            close(fd);
            usleep(60000); /* the firewall lets twenty a second in */
        }
        ++*kinds;
    }
    return true;
}

/* Connections that say nothing; the firewall lets in what its rate allows. */
static void squat(size_t *kinds)
{
    int fds[SQUATTERS];
    for (size_t i = 0; i < SQUATTERS; i++) {
        fds[i] = dial(BUS + (int)(i % 3));
        usleep(60000);
    }
    for (size_t i = 0; i < SQUATTERS; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    ++*kinds;
}

static _Noreturn void be_thief(const char *netns, int64_t epoch, int out)
{
    size_t kinds = 0;
    int fd = open(netns, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
        _exit(1);
    }
    bool ok = texts(epoch, &kinds) && bulks(&kinds) && rubbish(&kinds);
    if (ok) {
        squat(&kinds);
    }
    (void)!write(out, &kinds, sizeof kinds);
    _exit(ok ? 0 : 1);
}

int tattle_all(const char *netns, int64_t epoch, size_t *kinds_r, struct cm_err *err)
{
    int ends[2], status = -1;
    cm_assert(pipe(ends) == 0);
    fflush(NULL);
    pid_t pid = fork();
    cm_assert(pid >= 0);
    if (pid == 0) {
        be_thief(netns, epoch, ends[1]);
    }
    close(ends[1]);
    *kinds_r = 0;
    (void)!read(ends[0], kinds_r, sizeof *kinds_r);
    close(ends[0]);
    cm_assert(waitpid(pid, &status, 0) == pid);
    return status == 0
               ? 0
               : cm_err_set(
                     err, CM_ERR_WORLD,
                     "the bus did not take a connection any more after %zu kinds "
                     "of messages",
                     *kinds_r);
}
