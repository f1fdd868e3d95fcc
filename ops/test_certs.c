/* What is said about certificates that strangers see, and asking for them: of servers
 * that speak TLS at once, after SMTP's and after IMAP's words, or not at all. */
#include "certs.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "common/clock.h"
#include "common/mem.h"

#define DAY    INT64_C(86400)
#define NOW    INT64_C(1795766400) /* 2026-11-27 08:00 */
#define DOMAIN "chat.example.org"

static const char gateways[] = "[params]\nmail_domain = " DOMAIN "\n%s"
                               "[gateway edge1]\nssh = root@198.51.100.11\nnumber = 1\n"
                               "addresses = 198.51.100.11 2001:db8:1::11\n"
                               "[gateway edge2]\nssh = root@203.0.113.12\nnumber = 2\n"
                               "addresses = 203.0.113.12\n";

static struct cm_conf parse(const char *more)
{
    struct cm_conf conf;
    struct cm_err err = {0};
    char *ini = cm_asprintf(gateways, more);

    if (cm_conf_parse("t", ini, strlen(ini), &conf, &err) != 0) {
        fail_msg("%s", err.text);
    }
    free(ini);
    return conf;
}

/* ---- judging ---- */

static const struct cm_cert_look good = {.not_before = NOW - 10 * DAY,
                                         .not_after = NOW + 80 * DAY,
                                         .serial = "01",
                                         .print = "aa",
                                         .subject = DOMAIN,
                                         .issuer = "Some CA",
                                         .trusted = true,
                                         .named = true};

static void judged(const char *more, struct cm_cert_look is, const char *want)
{
    struct cm_conf conf = parse(more);
    char why[300];

    op_certs_judge(&conf, &is, NOW, why, sizeof(why));
    assert_string_equal(why, want);
    cm_conf_clear(&conf);
}

#define EXTERNAL "tls_external_cert_and_key = /a /b\n"

static void test_judge(void **state)
{
    (void)state;
    struct cm_cert_look is = good;
    judged("", is, "");
    judged(EXTERNAL, is, "");
    is.not_after = NOW - DAY;
    is.trusted = false;
    judged("", is, "expired on 2026-11-26");
    is.named = false;
    snprintf(is.subject, sizeof(is.subject), "other.example");
    judged("", is, "expired on 2026-11-26 and is for other.example, not for " DOMAIN);
    is = good;
    is.not_before = NOW + DAY;
    judged("", is, "is valid from 2026-11-28 on only");
    is = good;
    is.not_after = NOW + 3 * DAY;
    judged("", is, "is good for 3 more days only, so its renewal is late");
    judged(EXTERNAL, is, "is good for 3 more days only, so its renewal is late");
    is = good;
    is.trusted = false;
    snprintf(is.untrusted_why, sizeof(is.untrusted_why),
             "unable to get local issuer "
             "certificate");
    judged("", is,
           "is trusted by nobody here (unable to get local issuer certificate; "
           "it is from Some CA)");
    is.self_signed = true;
    judged("", is, "is a temporary one of the store's own, which clients do not trust");
}

/* ---- the whole ---- */

static struct cm_buf lines;

static void collect(void *ctx, const char *text)
{
    (void)ctx;
    cm_buf_fmt(&lines, "%s\n", text);
}

static struct op_cert_at *find(struct op_certs *certs, const char *address, int port)
{
    for (size_t i = 0; i < certs->count; i++) {
        if (strcmp(certs->items[i].address, address) == 0 &&
            certs->items[i].port == port) {
            return &certs->items[i];
        }
    }
    fail_msg("%s %d is not asked", address, port);
    return NULL;
}

/* All ports of one address, as chatops test asks. */
static void test_one_address(void **state)
{
    (void)state;
    struct op_certs certs;

    op_certs_of("edge1", "198.51.100.11", &certs);
    assert_int_equal(certs.count, 6);
    for (size_t i = 0; i < certs.count; i++) {
        assert_string_equal(certs.items[i].owner, "edge1");
        assert_string_equal(certs.items[i].address, "198.51.100.11");
    }
    assert_int_equal(find(&certs, "198.51.100.11", 25)->how, OP_TLS_SMTP);
    assert_int_equal(find(&certs, "198.51.100.11", 143)->how, OP_TLS_IMAP);
    op_certs_clear(&certs);
}

/* An expired one on one port, a wrong name on another, one that is only another, a
 * gateway that is silent, and a line that blocks 25. */
static void test_wrong(void **state)
{
    (void)state;
    struct cm_conf conf = parse("");
    struct op_certs certs;

    cm_buf_init(&lines, 65536);
    op_certs_list(&conf, &certs);
    assert_int_equal(certs.count, 18);
    for (size_t i = 0; i < certs.count; i++) {
        certs.items[i].state = OP_CERT_SHOWN;
        certs.items[i].is = good;
    }
    op_certs_wrong(&conf, &certs, NOW, collect, NULL);
    assert_string_equal(lines.data, "");
    find(&certs, "198.51.100.11", 993)->is.not_after = NOW - DAY;
    find(&certs, "198.51.100.11", 143)->is.not_after = NOW - DAY;
    find(&certs, "198.51.100.11", 443)->is.named = false;
    snprintf(find(&certs, "198.51.100.11", 443)->is.subject, 20, "other.example");
    snprintf(find(&certs, "198.51.100.11", 465)->is.print, 3, "bb");
    find(&certs, "198.51.100.11", 25)->state = OP_CERT_SILENT;
    struct op_cert_at *bad = find(&certs, "198.51.100.11", 587);
    bad->state = OP_CERT_BAD;
    snprintf(bad->why, sizeof(bad->why), "Connection refused");
    for (size_t i = 0; i < certs.count; i++) {
        if (strcmp(certs.items[i].owner, "edge2") == 0) {
            certs.items[i].state = OP_CERT_SILENT;
        } else if (strchr(certs.items[i].address, ':') != NULL) {
            certs.items[i].state = OP_CERT_NO_PATH;
        }
    }
    op_certs_wrong(&conf, &certs, NOW, collect, NULL);
    assert_string_equal(
        lines.data,
        "edge1 198.51.100.11 ports 143, 993: the certificate expired on 2026-11-26\n"
        "edge1 198.51.100.11 port 443: the certificate is for other.example, not "
        "for " DOMAIN "\n"
        "edge1 198.51.100.11 port 465: the certificate is another than at most places "
        "(serial 01)\n"
        "edge1 198.51.100.11 port 587: no certificate: Connection refused\n"
        "edge2 203.0.113.12 ports 25, 143, 443, 465, 587, 993: no answer, so no "
        "certificate\n");
    cm_buf_clear(&lines);
    op_certs_clear(&certs);
    cm_conf_clear(&conf);
}

static void test_line(void **state)
{
    (void)state;
    struct cm_conf conf = parse("");
    struct op_certs certs;

    cm_buf_init(&lines, 65536);
    op_certs_list(&conf, &certs);
    op_certs_line(&certs, NOW, &lines);
    assert_string_equal(lines.data, "not seen anywhere");
    cm_buf_reset(&lines);
    for (size_t i = 0; i < certs.count; i++) {
        certs.items[i].state = i < 12 ? OP_CERT_SHOWN : OP_CERT_NO_PATH;
        certs.items[i].is = good;
    }
    certs.items[3].state = OP_CERT_SILENT;
    op_certs_line(&certs, NOW, &lines);
    assert_string_equal(lines.data,
                        "good for 80 days, until 2027-02-15, from Some CA; the same on "
                        "11 of 12 ports, 1 did not show one, 6 out of reach from here");
    cm_buf_reset(&lines);
    certs.items[3].state = OP_CERT_SHOWN;
    for (size_t i = 0; i < 12; i++) {
        if (certs.items[i].port == 25) { /* this line is kept from it */
            certs.items[i].state = OP_CERT_SILENT;
        }
    }
    op_certs_line(&certs, NOW, &lines);
    assert_string_equal(lines.data,
                        "good for 80 days, until 2027-02-15, from Some CA; the same on "
                        "all 10 ports, 8 out of reach from here");
    cm_buf_clear(&lines);
    op_certs_clear(&certs);
    cm_conf_clear(&conf);
}

/* Of gateways that are drained or off nothing is asked, and of no store behind any. */
static void test_list(void **state)
{
    (void)state;
    struct cm_conf conf = parse("[store]\naddresses = 192.0.2.1\n");
    struct op_certs certs;

    conf.gateways[0].mode = CM_MODE_DRAIN;
    op_certs_list(&conf, &certs);
    assert_int_equal(certs.count, 6);
    assert_string_equal(certs.items[0].owner, "edge2");
    op_certs_clear(&certs);
    conf.gateway_count = 0;
    op_certs_list(&conf, &certs);
    assert_int_equal(certs.count, 6);
    assert_string_equal(certs.items[0].owner, "store");
    conf.gateway_count = 2;
    op_certs_clear(&certs);
    cm_conf_clear(&conf);
}

/* ---- asking ---- */

static int listen_any(uint16_t *port_r)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port_r = ntohs(a.sin_port);
    return fd;
}

static SSL_CTX *server_ctx(const char *name, int days)
{
    const char *const names[] = {name};
    char *key = cm_cert_new_key(), *pem = NULL;
    struct cm_err err = {0};
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    assert_int_equal(cm_cert_self(key, names, 1, days, &pem, &err), 0);
    BIO *kb = BIO_new_mem_buf(key, -1), *cb = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *k = PEM_read_bio_PrivateKey(kb, NULL, NULL, NULL);
    X509 *c = PEM_read_bio_X509(cb, NULL, NULL, NULL);
    assert_int_equal(SSL_CTX_use_certificate(ctx, c), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, k), 1);
    EVP_PKEY_free(k);
    X509_free(c);
    BIO_free(kb);
    BIO_free(cb);
    free(pem);
    cm_wipe_str(&key);
    return ctx;
}

/* Says each line, and waits for words before the next. */
static void talk(int fd, const char *const *say)
{
    char heard[256];

    for (; *say != NULL; say++) {
        if (write(fd, *say, strlen(*say)) < 0 ||
            (say[1] != NULL && read(fd, heard, sizeof(heard)) <= 0)) {
            _exit(1);
        }
    }
}

/* One client, in a child. say NULL: silent for good; ctx NULL: no TLS after the words.
 */
static pid_t serve(int fd, SSL_CTX *ctx, const char *const *say)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid != 0) {
        close(fd);
        return pid;
    }
    alarm(20);
    int client = accept(fd, NULL, NULL);
    if (say == NULL) {
        pause();
    }
    talk(client, say);
    if (ctx != NULL) {
        SSL *ssl = SSL_new(ctx);
        SSL_set_fd(ssl, client);
        (void)SSL_accept(ssl);
        char byte;
        (void)SSL_read(ssl, &byte, 1);
    }
    _exit(0);
}

static const char *const at_once[] = {NULL};
static const char *const smtp[] = {"220-" DOMAIN " hello\r\n220 ESMTP\r\n",
                                   "250-" DOMAIN "\r\n250 STARTTLS\r\n",
                                   "220 go ahead\r\n", NULL};
static const char *const imap[] = {"* OK ready\r\n", "a OK begin\r\n", NULL};
static const char *const angry[] = {"421 go away\r\n", NULL};

static void test_ask(void **state)
{
    (void)state;
    const struct {
        enum op_starttls how;
        const char *const *say;
        const char *name;
        int days;
        enum op_cert_state want;
        const char *why;
    } cases[] = {
        {OP_TLS_AT_ONCE, at_once, DOMAIN, 30, OP_CERT_SHOWN, ""},
        {OP_TLS_SMTP, smtp, DOMAIN, 30, OP_CERT_SHOWN, ""},
        {OP_TLS_IMAP, imap, "other.example", -1, OP_CERT_SHOWN, ""},
        {OP_TLS_SMTP, angry, NULL, 0, OP_CERT_BAD,
         "before TLS it said \"421 go away\""},
        {OP_TLS_AT_ONCE, angry, NULL, 0, OP_CERT_BAD, "the TLS handshake failed"},
        {OP_TLS_IMAP, NULL, NULL, 0, OP_CERT_SILENT, "connected, but silent"},
        {OP_TLS_IMAP, angry, NULL, 0, OP_CERT_BAD, "Connection refused"},
    };
    enum { N = sizeof(cases) / sizeof(cases[0]) };
    struct op_cert_at items[N];
    pid_t pids[N];
    struct op_certs certs = {.items = items, .count = N};
    struct cm_roots *nobody = cm_roots_load("none");

    for (size_t i = 0; i < N; i++) {
        SSL_CTX *ctx =
            cases[i].name != NULL ? server_ctx(cases[i].name, cases[i].days) : NULL;
        items[i] = (struct op_cert_at){
            .owner = "x", .address = "127.0.0.1", .how = cases[i].how};
        int fd = listen_any(&items[i].port);
        pids[i] = serve(fd, ctx, cases[i].say);
        SSL_CTX_free(ctx);
    }
    kill(pids[N - 1], SIGKILL); /* nobody listens there then */
    assert_int_equal(waitpid(pids[N - 1], NULL, 0), pids[N - 1]);
    int64_t from = cm_now_mono_ms();
    op_certs_ask(&certs, DOMAIN, nobody, 1500);
    assert_in_range(cm_now_mono_ms() - from, 1400, 6000);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(items[i].state, cases[i].want);
        assert_string_equal(items[i].why, cases[i].why);
    }
    int64_t now = cm_now_wall_ms() / 1000;
    assert_true(items[0].is.named && items[1].is.named && !items[2].is.named);
    assert_true(items[0].is.not_after > now && items[2].is.not_after < now);
    for (size_t i = 0; i + 1 < N; i++) {
        kill(pids[i], SIGKILL);
        (void)waitpid(pids[i], NULL, 0);
    }
    cm_roots_free(&nobody);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge), cmocka_unit_test(test_one_address),
        cmocka_unit_test(test_wrong), cmocka_unit_test(test_line),
        cmocka_unit_test(test_list),  cmocka_unit_test(test_ask),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
