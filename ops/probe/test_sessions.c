/* Whole sessions against a scripted server on loopback, TLS and all. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "imap.h"
#include "smtp.h"
#include "wire.h"

/* Waits for a line that begins with `expect` (NULL: says its piece unasked), answers,
 * and then turns to TLS if told so. */
struct step {
    const char *expect;
    const char *reply;
    bool tls_after;
};

struct server {
    const struct step *steps; /* ended by reply == NULL */
    bool tls_first;
    int listener;
    int port;
    pthread_t thread;
    char got[4096]; /* the last line, or what was not expected */
    bool whole;     /* the script was played to its end */
};

static SSL_CTX *server_tls(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 10 * 86400 + 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"chat.example.org", -1, -1, 0);
    X509_set_pubkey(cert, key);
    X509_sign(cert, key, EVP_sha256());
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(ctx, cert);
    SSL_CTX_use_PrivateKey(ctx, key);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

static bool server_line(int fd, SSL *ssl, char *line, size_t size)
{
    size_t n = 0;
    char c = 0;
    while (n + 1 < size && c != '\n') {
        if ((ssl != NULL ? SSL_read(ssl, &c, 1) : (int)recv(fd, &c, 1, 0)) != 1) {
            return false;
        }
        line[n++] = c;
    }
    line[n] = '\0';
    return true;
}

static SSL *server_accept_tls(SSL_CTX *ctx, int fd)
{
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    SSL_accept(ssl);
    return ssl;
}

static bool play(struct server *server, SSL_CTX *ctx, int fd, SSL **ssl)
{
    for (const struct step *s = server->steps; s->reply != NULL; s++) {
        while (s->expect != NULL) {
            if (!server_line(fd, *ssl, server->got, sizeof server->got)) {
                return false;
            }
            if (strncmp(server->got, s->expect, strlen(s->expect)) == 0) {
                break;
            }
            /* Lines of a message go by until the expected one comes. */
            if (strcmp(s->expect, ".") != 0) {
                return false;
            }
        }
        int n = (int)strlen(s->reply);
        if (*ssl != NULL) {
            SSL_write(*ssl, s->reply, n);
        } else if (send(fd, s->reply, (size_t)n, MSG_NOSIGNAL) != n) {
            return false;
        }
        if (s->tls_after) {
            *ssl = server_accept_tls(ctx, fd);
        }
    }
    return true;
}

static void *serve(void *arg)
{
    struct server *server = arg;
    SSL_CTX *ctx = server_tls();
    int fd = accept(server->listener, NULL, NULL);
    SSL *ssl = server->tls_first ? server_accept_tls(ctx, fd) : NULL;
    server->whole = play(server, ctx, fd, &ssl);
    if (ssl != NULL) {
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    return NULL;
}

static struct wire_to start(struct server *server)
{
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&sin, len), 0);
    assert_int_equal(listen(server->listener, 1), 0);
    getsockname(server->listener, (struct sockaddr *)&sin, &len);
    server->port = ntohs(sin.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
    return (struct wire_to){
        .host = "127.0.0.1", .port = server->port, .timeout_ms = 3000};
}

static void finish(struct server *server)
{
    pthread_join(server->thread, NULL);
    close(server->listener);
    if (!server->whole) {
        fail_msg("the server got: %s", server->got);
    }
}

/* --- SMTP --- */

#define OPENING                                                                        \
    {NULL, "220 hi\r\n", false}, {"EHLO me.example\r\n", "250 STARTTLS\r\n", false},   \
        {"STARTTLS\r\n", "220 go\r\n", true},                                          \
    {                                                                                  \
        "EHLO me.example\r\n", "250-x\r\n250 AUTH PLAIN\r\n", false                    \
    }

static void smtp_login_and_message(void **state)
{
    (void)state;
    static const struct step steps[] = {
        OPENING,
        {"AUTH PLAIN AHUAcA==\r\n", "235 in\r\n", false}, /* NUL u NUL p */
        {"MAIL FROM:<a@x>\r\n", "250 ok\r\n", false},
        {"RCPT TO:<b@y>\r\n", "250 ok\r\n", false},
        {"DATA\r\n", "354 go\r\n", false},
        {".", "250 taken\r\n", false},
        {NULL, NULL, false},
    };
    struct server server = {.steps = steps};
    struct cm_err err;
    struct smtp_reply reply;
    struct wire_to to = start(&server);
    struct smtp *smtp = smtp_open(&to, "me.example", &err);
    assert_non_null(smtp);
    assert_string_equal(smtp_local(smtp), "127.0.0.1");
    assert_int_equal(smtp_auth(smtp, "u", "p", &reply, &err), 0);
    assert_int_equal(reply.code, 235);
    assert_int_equal(
        smtp_send(smtp, "a@x", "b@y", "Subject: s\r\n\r\nbody\r\n", &reply, &err), 0);
    assert_int_equal(reply.code, 250);
    assert_string_equal(reply.text, "taken");
    smtp_close(&smtp);
    finish(&server);
}

static void smtp_refusal_is_an_answer_and_ends_the_sending(void **state)
{
    (void)state;
    static const struct step steps[] = {
        OPENING,
        {"MAIL FROM:<a@x>\r\n", "250 ok\r\n", false},
        {"RCPT TO:<b@y>\r\n", "553-not\r\n553 yours\r\n", false},
        {NULL, NULL, false},
    };
    struct server server = {.steps = steps};
    struct cm_err err;
    struct smtp_reply reply;
    struct wire_to to = start(&server);
    struct smtp *smtp = smtp_open(&to, "me.example", &err);
    assert_non_null(smtp);
    assert_int_equal(smtp_send(smtp, "a@x", "b@y", "text\r\n", &reply, &err), 0);
    assert_int_equal(reply.code, 553);
    assert_string_equal(reply.text, "not yours");
    /* Then the server hangs up. */
    assert_int_equal(smtp_command(smtp, &reply, &err, "NOOP"), -1);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    smtp_close(&smtp);
    finish(&server);
}

static void smtp_busy_greeting_is_an_error(void **state)
{
    (void)state;
    static const struct step steps[] = {{NULL, "421 come again\r\n", false},
                                        {NULL, NULL, false}};
    struct server server = {.steps = steps};
    struct cm_err err;
    struct wire_to to = start(&server);
    assert_null(smtp_open(&to, "me.example", &err));
    assert_non_null(strstr(err.text, "421 come again"));
    finish(&server);
}

/* --- IMAP --- */

static void collect(const char *id, void *ctx)
{
    strcat(ctx, id);
    strcat(ctx, ";");
}

static void imap_login_and_ids(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {NULL, "* OK ready\r\n", false},
        {"a1 LOGIN \"u\" \"p\\\"\\\\q\"\r\n", "* CAPABILITY X\r\na1 OK in\r\n", false},
        {"a2 SELECT INBOX\r\n", "* 2 EXISTS\r\na2 OK\r\n", false},
        {"a3 UID FETCH 1:* ",
         "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (MESSAGE-ID)] {20}\r\n"
         "Message-ID: <m-1@x>\r\n\r\n)\r\n"
         "* 2 FETCH (UID 2 BODY[HEADER.FIELDS (MESSAGE-ID)] {20}\r\n"
         "message-id: <m-2@x>\r\n\r\n)\r\na3 OK\r\n",
         false},
        {NULL, NULL, false},
    };
    struct server server = {.steps = steps, .tls_first = true};
    struct cm_err err;
    enum imap_verdict verdict = IMAP_OTHER;
    char ids[100] = "";
    struct wire_to to = start(&server);
    struct imap *imap = imap_open(&to, &err);
    assert_non_null(imap);
    assert_int_equal(imap_login(imap, "u", "p\"\\q", &verdict, NULL, &err), 0);
    assert_int_equal(verdict, IMAP_IN);
    assert_int_equal(imap_message_ids(imap, collect, ids, &err), 0);
    assert_string_equal(ids, "m-1@x;m-2@x;");
    imap_close(&imap);
    finish(&server);
}

static void imap_temporary_failure_is_told(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {NULL, "* OK ready\r\n", false},
        {"a1 LOGIN ", "a1 NO [UNAVAILABLE] Temporary\r\n", false},
        {"a2 SELECT", "a2 NO not now\r\n", false},
        {NULL, NULL, false},
    };
    struct server server = {.steps = steps, .tls_first = true};
    struct cm_err err;
    enum imap_verdict verdict = IMAP_OTHER;
    char text[256] = "";
    struct wire_to to = start(&server);
    struct imap *imap = imap_open(&to, &err);
    assert_non_null(imap);
    assert_int_equal(imap_login(imap, "u", "p", &verdict, text, &err), 0);
    assert_int_equal(verdict, IMAP_TEMPORARY);
    assert_string_equal(text, "NO [UNAVAILABLE] Temporary");
    assert_int_equal(imap_message_ids(imap, collect, NULL, &err), -1);
    assert_non_null(strstr(err.text, "not now"));
    imap_close(&imap);
    finish(&server);
}

/* --- the wire itself --- */

static void a_silent_peer_times_out(void **state)
{
    (void)state;
    static const struct step steps[] = {{"x", "", false}, {NULL, NULL, false}};
    struct server server = {.steps = steps};
    struct cm_err err;
    char line[WIRE_LINE];
    struct wire_to to = start(&server);
    to.timeout_ms = 200;
    struct wire *wire = wire_open(&to, &err);
    assert_non_null(wire);
    assert_int_equal(wire_line(wire, line, &err), -1);
    assert_non_null(strstr(err.text, "time-out"));
    assert_int_equal(wire_write(wire, "x\n", &err), 0);
    assert_int_equal(wire_line(wire, line, &err), 0);
    wire_close(&wire);
    finish(&server);
}

static void an_endless_line_is_an_error(void **state)
{
    (void)state;
    static char endless[2 * WIRE_LINE];
    memset(endless, 'x', sizeof endless - 1);
    const struct step steps[] = {{NULL, endless, false}, {NULL, NULL, false}};
    struct server server = {.steps = steps};
    struct cm_err err;
    char line[WIRE_LINE];
    struct wire_to to = start(&server);
    struct wire *wire = wire_open(&to, &err);
    assert_non_null(wire);
    assert_int_equal(wire_line(wire, line, &err), -1);
    assert_non_null(strstr(err.text, "a line over"));
    wire_close(&wire);
    finish(&server);
}

static void nobody_there_is_named(void **state)
{
    (void)state;
    struct cm_err err;
    struct wire_to to = {.host = "127.0.0.1", .port = 1};
    assert_null(wire_open(&to, &err));
    assert_int_equal(err.kind, CM_ERR_RETRY);
    assert_non_null(strstr(err.text, "127.0.0.1 port 1: "));
    to.host = "not-numeric";
    assert_null(wire_open(&to, &err));
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    to = (struct wire_to){.netns = "/nonexistent", .host = "127.0.0.1", .port = 1};
    assert_null(wire_open(&to, &err));
    assert_non_null(strstr(err.text, "/nonexistent"));
}

/* A namespace made by this test has no loopback up, so the same address is unreachable.
 */
static void *make_namespace(void *arg)
{
    char *path = arg;
    if (unshare(CLONE_NEWNET) == 0) {
        snprintf(path, 64, "/proc/%d/task/%d/ns/net", getpid(), gettid());
    }
    pause(); /* a cancellation point */
    return NULL;
}

static void a_socket_lives_in_the_named_namespace(void **state)
{
    (void)state;
    static const struct step steps[] = {{NULL, "hello\r\n", false},
                                        {NULL, NULL, false}};
    struct server server = {.steps = steps};
    struct cm_err err;
    char line[WIRE_LINE];
    static char path[64];
    pthread_t thread;
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(pthread_create(&thread, NULL, make_namespace, path), 0);
    for (int i = 0; i < 200 && path[0] == '\0'; i++) {
        usleep(10000);
    }
    struct wire_to to = start(&server);
    to.netns = path;
    if (path[0] != '\0') {
        assert_null(wire_open(&to, &err));
    }
    to.netns = "/proc/self/ns/net";
    struct wire *wire = wire_open(&to, &err);
    assert_non_null(wire);
    assert_int_equal(wire_line(wire, line, &err), 1);
    assert_string_equal(line, "hello");
    wire_close(&wire);
    finish(&server);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smtp_login_and_message),
        cmocka_unit_test(smtp_refusal_is_an_answer_and_ends_the_sending),
        cmocka_unit_test(smtp_busy_greeting_is_an_error),
        cmocka_unit_test(imap_login_and_ids),
        cmocka_unit_test(imap_temporary_failure_is_told),
        cmocka_unit_test(a_silent_peer_times_out),
        cmocka_unit_test(an_endless_line_is_an_error),
        cmocka_unit_test(nobody_there_is_named),
        cmocka_unit_test(a_socket_lives_in_the_named_namespace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
