/* Against listeners of this process, TLS by a certificate made here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/clock.h"
#include "common/mem.h"
#include "probe.h"

struct server {
    pthread_t thread;
    int fd;
    uint16_t port;
    const char *says; /* NULL: RST */
    SSL_CTX *tls;
    char heard[64];
};

static void reset(int fd)
{
    struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void *serve(void *arg)
{
    struct server *s = arg;
    int conn = accept(s->fd, NULL, NULL);
    ssize_t n = 0;
    if (s->says == NULL) {
        reset(conn);
    } else if (s->tls != NULL) {
        SSL *ssl = SSL_new(s->tls);
        SSL_set_fd(ssl, conn);
        if (SSL_accept(ssl) == 1 && SSL_write(ssl, s->says, (int)strlen(s->says)) > 0) {
            n = SSL_read(ssl, s->heard, sizeof(s->heard) - 1);
        }
        SSL_free(ssl);
    } else if (write(conn, s->says, strlen(s->says)) > 0) {
        n = read(conn, s->heard, sizeof(s->heard) - 1);
    }
    s->heard[n > 0 ? n : 0] = '\0';
    close(conn);
    return NULL;
}

static void start(struct server *s)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(s->fd, 4), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&in, &len), 0);
    s->port = ntohs(in.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct server *s)
{
    pthread_join(s->thread, NULL);
    close(s->fd);
}

static struct cm_loop *loop;
static struct px_prober *prober;
static int calls;
static enum px_probe_result got;
static int64_t took;

static void on_result(enum px_probe_result result, int64_t ms, void *ctx)
{
    (void)ctx;
    calls++;
    got = result;
    took = ms;
}

static enum px_probe_result probe(const char *to, uint16_t port, const char *from,
                                  const struct px_probe_speech *speech)
{
    struct px_probe_order o = {.speech = speech, .name = "_chat.example"};
    assert_true(px_probe_address(to, port, &o.to));
    if (from != NULL) {
        assert_true(px_probe_address(from, 0, &o.from));
    }
    calls = 0;
    px_probe(prober, &o, on_result, NULL);
    assert_int_equal(calls, 0);
    int64_t end = cm_now_mono_ms() + PX_PROBE_MS + 3000;
    while (calls == 0 && cm_now_mono_ms() < end) {
        cm_loop_once(loop, 100);
    }
    assert_int_equal(calls, 1);
    return got;
}

static enum px_probe_result with(struct server *s, const struct px_probe_speech *speech)
{
    start(s);
    enum px_probe_result result = probe("127.0.0.1", s->port, NULL, speech);
    stop(s);
    return result;
}

static void greetings(void **state)
{
    (void)state;
    struct server s = {.says = "220 mx ESMTP\r\n"};
    assert_int_equal(with(&s, &px_speech_smtp), PX_PROBE_OK);
    assert_string_equal(s.heard, "QUIT\r\n");
    assert_in_range(took, 0, 2000);
    s = (struct server){.says = "* OK ready\r\n"};
    assert_int_equal(with(&s, &px_speech_imap), PX_PROBE_OK);
    assert_string_equal(s.heard, "x LOGOUT\r\n");
    s = (struct server){.says = "554 go away\r\n"};
    assert_int_equal(with(&s, &px_speech_smtp), PX_PROBE_WRONG);
    s = (struct server){.says = "* OK ready\r\n"};
    assert_int_equal(with(&s, &px_speech_smtp), PX_PROBE_WRONG);
    s = (struct server){.says = NULL};
    assert_int_equal(with(&s, &px_speech_smtp), PX_PROBE_REFUSED);
}

static void nobody_there(void **state)
{
    (void)state;
    struct server s = {.says = "220"};
    start(&s);
    uint16_t port = s.port;
    assert_int_equal(probe("127.0.0.1", port, NULL, &px_speech_connect), PX_PROBE_OK);
    stop(&s);
    assert_int_equal(probe("127.0.0.1", port, NULL, &px_speech_connect),
                     PX_PROBE_REFUSED);
    /* An address that is not ours to speak from shows nothing. */
    assert_int_equal(probe("127.0.0.1", port, "198.51.100.77", &px_speech_connect),
                     PX_PROBE_NONE);
}

/* Connected, and then not a word: the kernel accepts for who does not. */
static void silence(void **state)
{
    (void)state;
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    assert_int_equal(probe("127.0.0.1", ntohs(in.sin_port), NULL, &px_speech_smtp),
                     PX_PROBE_SILENT);
    assert_in_range(took, PX_PROBE_MS - 100, PX_PROBE_MS + 2000);
    close(fd);
}

static SSL_CTX *certificate(const char *name, long seconds)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    char *san = cm_asprintf("DNS:%s", name);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -86400);
    X509_gmtime_adj(X509_getm_notAfter(cert), seconds);
    X509_set_pubkey(cert, key);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    X509_add_ext(cert, ext, -1);
    X509_sign(cert, key, EVP_sha256());
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(tls, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(tls, key), 1);
    X509_EXTENSION_free(ext);
    X509_free(cert);
    EVP_PKEY_free(key);
    free(san);
    return tls;
}

static enum px_probe_result with_name(const char *name, long seconds, const char *says)
{
    struct server s = {.says = says, .tls = certificate(name, seconds)};
    enum px_probe_result result = with(&s, &px_speech_imaps);
    SSL_CTX_free(s.tls);
    return result;
}

static void tls_names(void **state)
{
    (void)state;
    assert_int_equal(with_name("_chat.example", 3600, "* OK\r\n"), PX_PROBE_OK);
    assert_int_equal(with_name("other.example", 3600, "* OK\r\n"), PX_PROBE_WRONG);
    assert_int_equal(with_name("_chat.example", -60, "* OK\r\n"), PX_PROBE_WRONG);
    assert_int_equal(with_name("_chat.example", 3600, "* BYE\r\n"), PX_PROBE_WRONG);
    struct server s = {.says = "220 not TLS\r\n"};
    assert_int_equal(with(&s, &px_speech_tls), PX_PROBE_WRONG);
}

static void results_have_names(void **state)
{
    (void)state;
    enum px_probe_result r;
    assert_true(px_probe_parse(px_probe_name(PX_PROBE_SILENT), &r));
    assert_int_equal(r, PX_PROBE_SILENT);
    assert_false(px_probe_parse("perhaps", &r));
}

static int begin(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* as a service does */
    loop = cm_loop_new();
    prober = px_prober_new(loop);
    return 0;
}

static int end(void **state)
{
    (void)state;
    px_prober_free(&prober);
    cm_loop_free(&loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greetings),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(silence),
        cmocka_unit_test(tls_names),
        cmocka_unit_test(results_have_names),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
