#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/mem.h"

#define DAYS 30

struct tls_server {
    SSL_CTX *ctx;
    enum tls_offer offer;
};

struct tls {
    SSL *ssl;
    bool wants_write;
};

static int ssl_err(struct cm_err *err, const char *what)
{
    char text[200];

    ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    ERR_clear_error();
    return cm_err_set(err, CM_ERR_WORLD, "%s: %s", what, text);
}

/* ---- the certificate ---- */

static FILE *open_file(const char *path, struct cm_err *err)
{
    FILE *file = fopen(path, "re");

    if (file == NULL)
        (void)cm_err_set(err, CM_ERR_WORLD, "%s: %s", path, strerror(errno));
    return file;
}

static X509 *load_cert(const char *path, struct cm_err *err)
{
    FILE *file = open_file(path, err);

    if (file == NULL)
        return NULL;
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    if (cert == NULL)
        (void)ssl_err(err, path);
    return cert;
}

static EVP_PKEY *load_key(const char *path, struct cm_err *err)
{
    FILE *file = open_file(path, err);

    if (file == NULL)
        return NULL;
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    if (key == NULL)
        (void)ssl_err(err, path);
    return key;
}

static bool add_name(X509 *cert, X509 *issuer, const char *name)
{
    unsigned char address[16];
    bool numeric = inet_pton(AF_INET, name, address) == 1 ||
                   inet_pton(AF_INET6, name, address) == 1;
    char *value = cm_asprintf("%s:%s", numeric ? "IP" : "DNS", name);
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, value);
    bool good = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    free(value);
    return good;
}

static X509 *make_cert(EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, const char *name)
{
    X509 *cert = X509_new();
    uint64_t serial;

    cm_assert(RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1);
    if (cert == NULL || X509_set_version(cert, 2) != 1 ||
        ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) != 1 ||
        X509_gmtime_adj(X509_getm_notBefore(cert), -3600) == NULL ||
        X509_time_adj_ex(X509_getm_notAfter(cert), DAYS, 0, NULL) == NULL ||
        X509_set_issuer_name(cert, X509_get_subject_name(ca)) != 1 ||
        X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                   (const unsigned char *)name, -1, -1, 0) != 1 ||
        X509_set_pubkey(cert, key) != 1 || !add_name(cert, ca, name) ||
        X509_sign(cert, ca_key, EVP_sha256()) == 0) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

static int use_made(SSL_CTX *ctx, const struct tls_files *files, struct cm_err *err)
{
    X509 *ca = load_cert(files->ca_cert, err), *cert = NULL;
    EVP_PKEY *ca_key = ca != NULL ? load_key(files->ca_key, err) : NULL, *key = NULL;
    int rc = -1;

    if (ca_key == NULL)
        goto out;
    key = EVP_EC_gen("P-256");
    cert = key != NULL ? make_cert(key, ca, ca_key, files->name) : NULL;
    if (cert == NULL || SSL_CTX_use_certificate(ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey(ctx, key) != 1)
        rc = ssl_err(err, "making a certificate");
    else
        rc = 0;
out:
    X509_free(cert);
    EVP_PKEY_free(key);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    return rc;
}

static int use_files(SSL_CTX *ctx, const struct tls_files *files, struct cm_err *err)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, files->cert) != 1)
        return ssl_err(err, files->cert);
    if (SSL_CTX_use_PrivateKey_file(ctx, files->key, SSL_FILETYPE_PEM) != 1)
        return ssl_err(err, files->key);
    return 0;
}

/* ---- the server ---- */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    const struct tls_server *server = arg;
    unsigned skip = server->offer == TLS_OFFER_H1 ? 3 : 0;
    unsigned char *chosen;

    (void)ssl;
    if (server->offer == TLS_OFFER_NOTHING)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&chosen, out_len, ours + skip, sizeof(ours) - 1 - skip,
                              in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

struct tls_server *tls_server_new(const struct tls_files *files, struct cm_err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    cm_assert(ctx != NULL);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    if ((files->cert != NULL ? use_files : use_made)(ctx, files, err) != 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    struct tls_server *server = cm_calloc(1, sizeof(*server));
    server->ctx = ctx;
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, server);
    return server;
}

void tls_server_offer(struct tls_server *server, enum tls_offer offer)
{
    server->offer = offer;
}

void tls_server_free(struct tls_server **server)
{
    if (*server == NULL)
        return;
    SSL_CTX_free((*server)->ctx);
    free(*server);
    *server = NULL;
}

/* ---- a connection ---- */

struct tls *tls_new(struct tls_server *server, int fd)
{
    struct tls *tls = cm_calloc(1, sizeof(*tls));

    tls->ssl = SSL_new(server->ctx);
    cm_assert(tls->ssl != NULL && SSL_set_fd(tls->ssl, fd) == 1);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

void tls_free(struct tls **tls)
{
    if (*tls == NULL)
        return;
    SSL_free((*tls)->ssl);
    free(*tls);
    *tls = NULL;
}

static ssize_t result(struct tls *tls, int n)
{
    int why = SSL_get_error(tls->ssl, n);

    tls->wants_write = why == SSL_ERROR_WANT_WRITE;
    if (n > 0)
        return n;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    ERR_clear_error();
    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = EPROTO;
    return -1;
}

ssize_t tls_read(struct tls *tls, void *data, size_t size)
{
    ERR_clear_error();
    return result(tls, SSL_read(tls->ssl, data, (int)size));
}

ssize_t tls_write(struct tls *tls, const void *data, size_t len)
{
    ERR_clear_error();
    return result(tls, SSL_write(tls->ssl, data, (int)len));
}

bool tls_wants_write(const struct tls *tls)
{
    return tls->wants_write;
}

bool tls_is_up(const struct tls *tls)
{
    return SSL_is_init_finished(tls->ssl) == 1;
}

bool tls_is_h2(const struct tls *tls)
{
    const unsigned char *name;
    unsigned len;

    SSL_get0_alpn_selected(tls->ssl, &name, &len);
    return len == 2 && memcmp(name, "h2", 2) == 0;
}
