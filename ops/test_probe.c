/* A probe message against a relay of the test's own that speaks SMTP and IMAP over TLS,
 * and goes wrong at one place after the other. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe.h"

#define DAYS 62

enum trouble {
    WELL,
    BAD_LOGIN,  /* SMTP: 454 */
    BAD_READER, /* IMAP: NO [UNAVAILABLE] */
    FILTER,     /* 451 4.7.1 at RCPT */
    LOST,       /* accepted, and never announced */
    OLD_FIRST,  /* a message of an earlier round is announced first */
    SILENT,     /* no greeting at 465 */
};

static SSL_CTX *ctx;
static int listeners[2]; /* SMTP, IMAP */
static _Atomic int trouble;
static _Atomic bool over;
static char id[200]; /* of the message that was taken */
static _Atomic bool taken;

static void make_ctx(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    assert_non_null(key);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), DAYS * 86400L);
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static int listen_at(uint16_t *port_r)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port_r = ntohs(at.sin_port);
    return fd;
}

static void say(SSL *s, const char *text)
{
    (void)SSL_write(s, text, (int)strlen(text));
}

/* A line, without its end; false at the end of the connection. */
static bool hear(SSL *s, char *line, size_t size)
{
    size_t n = 0;
    while (n + 1 < size && SSL_read(s, line + n, 1) == 1) {
        if (line[n] == '\n') {
            line[n > 0 ? n - 1 : 0] = '\0';
            return true;
        }
        n++;
    }
    return false;
}

static void take_message(SSL *s)
{
    char line[512];
    while (hear(s, line, sizeof(line)) && strcmp(line, ".") != 0) {
        if (strncmp(line, "Message-ID: <", 13) == 0)
            snprintf(id, sizeof(id), "%.*s", (int)strcspn(line + 13, ">"), line + 13);
    }
}

static void smtp(SSL *s)
{
    char line[512];
    say(s, "220-a\r\n220 b\r\n");
    while (hear(s, line, sizeof(line))) {
        if (strncmp(line, "EHLO", 4) == 0)
            say(s, "250-x\r\n250 AUTH PLAIN\r\n");
        else if (strncmp(line, "AUTH", 4) == 0) /* NUL a@b.example NUL secret */
            say(s, trouble == BAD_LOGIN ? "454 4.7.0 no\r\n"
                   : strcmp(line, "AUTH PLAIN AGFAYi5leGFtcGxlAHNlY3JldA==") == 0
                       ? "235 y\r\n"
                       : "535 n\r\n");
        else if (strncmp(line, "RCPT", 4) == 0 && trouble == FILTER)
            say(s, "451 4.7.1 Service unavailable - try again later\r\n");
        else if (strcmp(line, "DATA") == 0) {
            say(s, "354 go\r\n");
            take_message(s);
            taken = true;
            say(s, "250 ok\r\n");
        } else
            say(s, "250 ok\r\n");
    }
}

static void announce(SSL *s)
{
    for (int i = 0; i < 500 && !taken && !over; i++)
        usleep(10000);
    if (trouble != LOST)
        say(s, "* 1 EXISTS\r\n");
}

static void fetch(SSL *s, const char *which)
{
    char out[600];
    snprintf(out, sizeof(out),
             "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (MESSAGE-ID)] {%zu}\r\nMessage-ID: "
             "<%s>\r\n\r\n)\r\nd OK\r\n",
             strlen(which) + 18, which);
    say(s, out);
}

static void imap(SSL *s)
{
    char line[512], out[80];
    bool old = trouble == OLD_FIRST;
    say(s, "* OK hello\r\n");
    while (hear(s, line, sizeof(line))) {
        if (strncmp(line, "a LOGIN", 7) == 0 && trouble == BAD_READER) {
            say(s, "a NO [UNAVAILABLE] later\r\n");
        } else if (strstr(line, " IDLE") != NULL) {
            say(s, "+ idling\r\n");
            announce(s);
        } else if (strcmp(line, "DONE") == 0) {
            say(s, "c OK\r\n");
        } else if (strncmp(line, "d UID FETCH", 11) == 0) {
            fetch(s, old ? "of-yesterday@x" : id);
            old = false;
        } else {
            snprintf(out, sizeof(out), "%.1s OK\r\n", line);
            say(s, out);
        }
    }
}

static void *serve(void *arg)
{
    int which = arg == &listeners[1];
    while (!over) {
        struct pollfd p = {.fd = listeners[which], .events = POLLIN};
        if (poll(&p, 1, 50) <= 0)
            continue;
        int fd = accept(listeners[which], NULL, NULL);
        SSL *s = SSL_new(ctx);
        SSL_set_fd(s, fd);
        if (which == 0 && trouble == SILENT)
            usleep(600000);
        else if (SSL_accept(s) == 1)
            (which == 0 ? smtp : imap)(s);
        SSL_free(s);
        close(fd);
    }
    return NULL;
}

static struct op_pair probe(enum trouble t)
{
    static const struct op_probe_account account = {"a@b.example", "secret"};
    struct op_pair pair = {.in = "edge1",
                           .out = "edge2",
                           .in_address = "127.0.0.1",
                           .out_address = "127.0.0.1"};
    pthread_t threads[2];
    trouble = t;
    over = taken = false;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, serve, &listeners[i]), 0);
    op_probe_pair(&pair, "chat.example.org", &account);
    over = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return pair;
}

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    make_ctx();
    listeners[0] = listen_at(&op_probe_smtp_port);
    listeners[1] = listen_at(&op_probe_imap_port);
    op_probe_step_ms = 300;
    op_probe_wait_ms = 1000;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(listeners[0]);
    close(listeners[1]);
    SSL_CTX_free(ctx);
    return 0;
}

static void test_well(void **state)
{
    (void)state;
    struct op_pair p = probe(WELL);
    if (p.stage != OP_STAGE_DONE)
        fail_msg("%d: %s", p.stage, p.said);
    assert_true(p.ms >= p.accepted_ms && p.accepted_ms >= 0 && p.ms < 1000);
    for (int i = 0; i < 2; i++) {
        int64_t left = p.cert_end_s[i] - (int64_t)time(NULL);
        assert_in_range(left, DAYS * 86400 - 60, DAYS * 86400 + 1);
    }
}

static void test_old_message_is_not_ours(void **state)
{
    (void)state;
    struct op_pair p = probe(OLD_FIRST);
    if (p.stage != OP_STAGE_DONE)
        fail_msg("%d: %s", p.stage, p.said);
}

static void test_stuck(void **state)
{
    (void)state;
    static const struct {
        enum trouble trouble;
        enum op_stage stage;
        const char *said;
    } cases[] = {
        {BAD_LOGIN, OP_STAGE_SEND_LOGIN, "454 4.7.0 no"},
        {BAD_READER, OP_STAGE_READ_LOGIN, "a NO [UNAVAILABLE] later"},
        {FILTER, OP_STAGE_SEND, "451 4.7.1 Service unavailable - try again later"},
        {LOST, OP_STAGE_ARRIVE, "accepted, but not announced in 1 s"},
        {SILENT, OP_STAGE_SEND_OPEN, "TLS: no answer"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct op_pair p = probe(cases[i].trouble);
        if (p.stage != cases[i].stage || strstr(p.said, cases[i].said) == NULL)
            fail_msg("case %zu: %d, %s", i, p.stage, p.said);
        assert_int_equal(p.ms, -1);
    }
}

static void test_nobody_there(void **state)
{
    (void)state;
    uint16_t real = op_probe_imap_port;
    op_probe_imap_port = 1;
    struct op_pair p = probe(WELL);
    op_probe_imap_port = real;
    assert_int_equal(p.stage, OP_STAGE_READ_OPEN);
    assert_int_equal(p.reach, OP_REACH_BAD);
    assert_non_null(strstr(p.said, "127.0.0.1 port 1: Connection refused"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well), cmocka_unit_test(test_old_message_is_not_ours),
        cmocka_unit_test(test_stuck), cmocka_unit_test(test_nobody_there)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
