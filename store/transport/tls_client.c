#include "tls_client.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/clock.h"
#include "common/mem.h"
#include "lru.h"

struct wire_tls {
    SSL_CTX *ctx;
    struct lru *tickets; /* struct ticket */
};

struct ticket {
    SSL_SESSION *session;
    int64_t until_ms; /* monotonic */
};

/* Tickets */

static void ticket_gone(void *value)
{
    struct ticket *t = value;
    SSL_SESSION_free(t->session);
}

static struct lru *tickets_new(void)
{
    struct lru *tickets = lru_new(TLS_TICKETS_MAX, sizeof(struct ticket));
    lru_on_drop(tickets, ticket_gone);
    return tickets;
}

/* OpenSSL's callback: 1 when the session is kept, and with it the reference. */
static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct wire_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const char *key = SSL_get_app_data(ssl);
    if (tls == NULL || SSL_SESSION_get_protocol_version(session) != TLS1_3_VERSION) {
        return 0;
    }
    struct ticket *t = lru_put(tls->tickets, key);
    SSL_SESSION_free(t->session);
    *t = (struct ticket){session, cm_now_mono_ms() + TLS_TICKET_MS};
    return 1;
}

static void use_ticket(struct wire_tls *tls, SSL *ssl, const char *key)
{
    struct ticket *t = lru_get(tls->tickets, key);
    if (t == NULL) {
        return;
    }
    if (t->until_ms > cm_now_mono_ms() && SSL_SESSION_is_resumable(t->session)) {
        (void)SSL_set_session(ssl, t->session); /* else it shakes hands in full */
    }
    lru_drop(tls->tickets, key);
}

/* What all connections share */

static SSL_CTX *make_ctx(const char *ca_file, struct cm_err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    cm_assert(ctx != NULL);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    /* SMTP says itself what is whole; and many servers just hang up. */
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(ctx,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_ticket);
    if (SSL_CTX_load_verify_file(ctx, ca_file) != 1) {
        ERR_clear_error();
        SSL_CTX_free(ctx);
        (void)cm_err_set(err, CM_ERR_WORLD,
                         "%s: no certificates to trust; install ca-certificates",
                         ca_file);
        return NULL;
    }
    return ctx;
}

struct wire_tls *wire_tls_new(const char *ca_file, struct cm_err *err)
{
    SSL_CTX *ctx = make_ctx(ca_file, err);
    if (ctx == NULL) {
        return NULL;
    }
    struct wire_tls *tls = cm_calloc(1, sizeof(*tls));
    tls->ctx = ctx;
    tls->tickets = tickets_new();
    SSL_CTX_set_app_data(ctx, tls);
    return tls;
}

/* Those that use it hold it; their tickets come too late. */
static void let_go(SSL_CTX *ctx)
{
    SSL_CTX_set_app_data(ctx, NULL);
    SSL_CTX_free(ctx);
}

int wire_tls_reload(struct wire_tls *tls, const char *ca_file, struct cm_err *err)
{
    SSL_CTX *ctx = make_ctx(ca_file, err);
    if (ctx == NULL) {
        return -1;
    }
    let_go(tls->ctx);
    lru_free(&tls->tickets); /* trusted by roots that are perhaps gone */
    tls->tickets = tickets_new();
    tls->ctx = ctx;
    SSL_CTX_set_app_data(ctx, tls);
    return 0;
}

void wire_tls_free(struct wire_tls **tls)
{
    if (*tls != NULL) {
        let_go((*tls)->ctx);
        lru_free(&(*tls)->tickets);
        free(*tls);
        *tls = NULL;
    }
}

/* One connection */

static void demand_certificate(SSL *ssl, const char *host, bool numeric)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    cm_assert((numeric ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
                       : X509_VERIFY_PARAM_set1_host(param, host, 0)) == 1);
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
}

SSL *tls_client_new(struct wire_tls *tls, int fd, const char *host, bool verify)
{
    unsigned char address[16];
    bool numeric = inet_pton(AF_INET, host, address) == 1 ||
                   inet_pton(AF_INET6, host, address) == 1;
    char *key = cm_asprintf("%c%s", verify ? '+' : '-', host);
    SSL *ssl = SSL_new(tls->ctx);
    cm_assert(ssl != NULL && SSL_set_fd(ssl, fd) == 1);
    SSL_set_connect_state(ssl);
    SSL_set_app_data(ssl, key);
    if (!numeric) {
        /* The macro for this drops const; OpenSSL copies the name. */
        SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)host);
    }
    if (verify) {
        demand_certificate(ssl, host, numeric);
    }
    use_ticket(tls, ssl, key);
    return ssl;
}

void tls_client_free(SSL **ssl)
{
    if (*ssl != NULL) {
        char *key = SSL_get_app_data(*ssl);
        /* Else OpenSSL takes back the ticket of one that the peer closed. */
        SSL_set_shutdown(*ssl, SSL_SENT_SHUTDOWN);
        SSL_free(*ssl);
        free(key);
        *ssl = NULL;
    }
}
