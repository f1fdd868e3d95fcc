#include "probe_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/mem.h"
#include "probe.h"

static bool is_address(const char *name)
{
    struct in_addr v4;
    return inet_pton(AF_INET, name, &v4) == 1;
}

static void *start(void **shared, int fd, const char *name)
{
    if (*shared == NULL) {
        *shared = SSL_CTX_new(TLS_client_method());
        cm_assert(*shared != NULL);
    }
    SSL *ssl = SSL_new(*shared);
    cm_assert(ssl != NULL && SSL_set_fd(ssl, fd) == 1);
    if (!is_address(name)) {
        /* The macro for this drops const; OpenSSL copies the name. */
        SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)name);
    }
    SSL_set_connect_state(ssl);
    return ssl;
}

static enum px_tls_step step_of(SSL *ssl, int rc)
{
    switch (SSL_get_error(ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return PX_TLS_READ;
    case SSL_ERROR_WANT_WRITE:
        return PX_TLS_WRITE;
    default:
        return errno == ECONNRESET ? PX_TLS_RESET : PX_TLS_WRONG;
    }
}

/* Who signed it is not asked: the relay's may be its own. */
static bool fits(SSL *ssl, const char *name)
{
    X509 *cert = SSL_get1_peer_certificate(ssl);
    bool is = cert != NULL &&
              (is_address(name) ? X509_check_ip_asc(cert, name, 0)
                                : X509_check_host(cert, name, 0, 0, NULL)) == 1 &&
              X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
    X509_free(cert);
    return is;
}

static enum px_tls_step shake(void *tls, const char *name)
{
    errno = 0;
    int rc = SSL_do_handshake(tls);
    if (rc != 1) {
        return step_of(tls, rc);
    }
    return fits(tls, name) ? PX_TLS_DONE : PX_TLS_WRONG;
}

static enum px_tls_step hear(void *tls, char *out, size_t size, size_t *n_r)
{
    errno = 0;
    int n = SSL_read(tls, out, (int)size);
    *n_r = n > 0 ? (size_t)n : 0;
    if (n > 0) {
        return PX_TLS_DONE;
    }
    enum px_tls_step step = step_of(tls, n);
    return step == PX_TLS_WRONG ? PX_TLS_DONE : step;
}

static void goodbye(void *tls, const char *text)
{
    /* Whether it arrives is nobody's business. */
    (void)SSL_write(tls, text, (int)strlen(text));
    (void)SSL_shutdown(tls);
}

static void stop(void *tls)
{
    SSL_free(tls);
}

static void free_shared(void *shared)
{
    SSL_CTX_free(shared);
}

static const struct px_probe_tls openssl = {start,   shake, hear,
                                            goodbye, stop,  free_shared};

const struct px_probe_speech px_speech_tls = {&openssl, NULL, NULL};
const struct px_probe_speech px_speech_imaps = {&openssl, "* OK", "x LOGOUT\r\n"};
