/* Keys, requests and certificates that a key signs itself. */
#include <arpa/inet.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/buf.h"
#include "common/cert.h"
#include "common/clock.h"
#include "common/mem.h"

#define NAMES_TEXT_MAX 4096
#define COMMON_MAX     64 /* bytes of a common name (RFC 5280, ub-common-name) */
#define DAY            86400

static char *take_text(BIO *bio)
{
    char *data;
    long n = BIO_get_mem_data(bio, &data);
    char *text = cm_strndup(data, n > 0 ? (size_t)n : 0);

    cm_wipe(data, n > 0 ? (size_t)n : 0);
    BIO_free(bio);
    return text;
}

char *cm_cert_new_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_mem());

    cm_assert(key != NULL && bio != NULL);
    int rc = PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    cm_assert(rc == 1);
    EVP_PKEY_free(key);
    return take_text(bio);
}

/* Else OpenSSL would ask the terminal. */
static int no_password(char *buf, int size, int rwflag, void *u)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)u;
    return -1;
}

static EVP_PKEY *read_key(const char *pem, struct cm_err *err)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);

    cm_assert(bio != NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (key == NULL) {
        (void)cm_err_set(err, CM_ERR_WORLD,
                         "no private key without password can be read");
    }
    return key;
}

/* "DNS:a,IP:1.2.3.4"; the names were checked where they were read. */
static X509_EXTENSION *alternative_names(const char *const *names, size_t n)
{
    unsigned char ip[4];
    struct cm_buf b;

    cm_buf_init(&b, NAMES_TEXT_MAX);
    for (size_t i = 0; i < n; i++) {
        cm_buf_fmt(&b, "%s%s:%s", i > 0 ? "," : "",
                   inet_pton(AF_INET, names[i], ip) == 1 ? "IP" : "DNS", names[i]);
    }
    cm_assert(!b.overflow);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, b.data);
    cm_buf_clear(&b);
    return e;
}

static X509_NAME *subject(const char *name)
{
    X509_NAME *x = X509_NAME_new();

    cm_assert(x != NULL);
    if (strlen(name) > COMMON_MAX) {
        name = "chatmail"; /* the alternative names are what anybody looks at */
    }
    int rc = X509_NAME_add_entry_by_txt(x, "CN", MBSTRING_ASC,
                                        (const unsigned char *)name, -1, -1, 0);
    cm_assert(rc == 1);
    return x;
}

static int failed(struct cm_err *err, const char *what)
{
    char text[256];

    ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    ERR_clear_error();
    return cm_err_set(err, CM_ERR_WORLD, "%s: %s", what, text);
}

/* ---- self-signed ---- */

static bool add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool good = e != NULL && X509_add_ext(x, e, -1) == 1;

    X509_EXTENSION_free(e);
    return good;
}

static void set_serial(X509 *x)
{
    unsigned char bytes[8];
    ASN1_INTEGER *serial = X509_get_serialNumber(x);

    int rc = RAND_bytes(bytes, sizeof(bytes));
    cm_assert(rc == 1);
    bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, and of one length */
    rc = ASN1_STRING_set(serial, bytes, sizeof(bytes));
    cm_assert(rc == 1);
}

static bool fill(X509 *x, EVP_PKEY *key, const char *const *names, size_t n, int days)
{
    X509_NAME *name = subject(names[0]);
    X509_EXTENSION *alt = alternative_names(names, n);
    time_t now = (time_t)(cm_now_wall_ms() / 1000);

    set_serial(x);
    bool good = X509_set_version(x, 2) == 1 && X509_set_subject_name(x, name) == 1 &&
                X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 &&
                X509_time_adj_ex(X509_getm_notBefore(x), 0, -DAY / 24, &now) != NULL &&
                X509_time_adj_ex(X509_getm_notAfter(x), days, 0, &now) != NULL &&
                add_extension(x, NID_basic_constraints, "critical,CA:FALSE") &&
                add_extension(x, NID_key_usage, "critical,digitalSignature") &&
                add_extension(x, NID_ext_key_usage, "serverAuth,clientAuth") &&
                alt != NULL && X509_add_ext(x, alt, -1) == 1;
    X509_EXTENSION_free(alt);
    X509_NAME_free(name);
    return good && X509_sign(x, key, EVP_sha256()) > 0;
}

int cm_cert_self(const char *key_pem, const char *const *names, size_t n, int days,
                 char **pem_r, struct cm_err *err)
{
    EVP_PKEY *key = read_key(key_pem, err);
    X509 *x = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    int rc = -1;

    cm_assert(x != NULL && bio != NULL);
    if (key != NULL) {
        rc = fill(x, key, names, n, days) && PEM_write_bio_X509(bio, x) == 1
                 ? 0
                 : failed(err, "cannot make a certificate");
    }
    X509_free(x);
    EVP_PKEY_free(key);
    if (rc == 0) {
        *pem_r = take_text(bio);
    } else {
        BIO_free(bio);
    }
    return rc;
}

/* ---- request ---- */

static bool fill_request(X509_REQ *req, EVP_PKEY *key, const char *const *names,
                         size_t n)
{
    X509_NAME *name = subject(names[0]);
    STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
    X509_EXTENSION *alt = alternative_names(names, n);

    cm_assert(list != NULL);
    bool good = alt != NULL && sk_X509_EXTENSION_push(list, alt) > 0 &&
                X509_REQ_set_version(req, 0) == 1 &&
                X509_REQ_set_subject_name(req, name) == 1 &&
                X509_REQ_set_pubkey(req, key) == 1 &&
                X509_REQ_add_extensions(req, list) == 1;
    sk_X509_EXTENSION_free(list);
    X509_EXTENSION_free(alt);
    X509_NAME_free(name);
    return good && X509_REQ_sign(req, key, EVP_sha256()) > 0;
}

int cm_cert_request(const char *key_pem, const char *const *names, size_t n,
                    char **pem_r, struct cm_err *err)
{
    EVP_PKEY *key = read_key(key_pem, err);
    X509_REQ *req = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    int rc = -1;

    cm_assert(req != NULL && bio != NULL);
    if (key != NULL) {
        rc = fill_request(req, key, names, n) && PEM_write_bio_X509_REQ(bio, req) == 1
                 ? 0
                 : failed(err, "cannot make a request");
    }
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    if (rc == 0) {
        *pem_r = take_text(bio);
    } else {
        BIO_free(bio);
    }
    return rc;
}

static X509_REQ *read_request(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);

    cm_assert(bio != NULL);
    X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, no_password, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return req;
}

static bool same_names(X509_REQ *req, const char *const *names, size_t n)
{
    STACK_OF(X509_EXTENSION) *list = X509_REQ_get_extensions(req);
    X509_EXTENSION *want = alternative_names(names, n);
    int at = X509v3_get_ext_by_NID(list, NID_subject_alt_name, -1);

    bool same = want != NULL && at >= 0 &&
                ASN1_OCTET_STRING_cmp(
                    X509_EXTENSION_get_data(want),
                    X509_EXTENSION_get_data(sk_X509_EXTENSION_value(list, at))) == 0;
    X509_EXTENSION_free(want);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return same;
}

bool cm_cert_request_fits(const char *request_pem, const char *key_pem,
                          const char *const *names, size_t n)
{
    struct cm_err ignored;
    X509_REQ *req = read_request(request_pem);
    EVP_PKEY *key = read_key(key_pem, &ignored);
    bool fits = req != NULL && key != NULL &&
                X509_REQ_check_private_key(req, key) == 1 && same_names(req, names, n);

    ERR_clear_error();
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    return fits;
}

bool cm_cert_answers(const struct cm_cert *cert, const char *request_pem)
{
    X509_REQ *req = read_request(request_pem);
    EVP_PKEY *asked = req != NULL ? X509_REQ_get0_pubkey(req) : NULL;
    EVP_PKEY *given = X509_get0_pubkey(cm_cert_leaf(cert));
    bool same = asked != NULL && given != NULL && EVP_PKEY_eq(asked, given) == 1;

    ERR_clear_error();
    X509_REQ_free(req);
    return same;
}
