#include "common/cert.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/clock.h"
#include "common/mem.h"

struct cm_cert {
    X509 *items[CM_CERT_CHAIN];
    size_t count;
};

struct cm_roots {
    X509_STORE *store;
};

/* ---- reading ---- */

void cm_cert_free(struct cm_cert **cert)
{
    if (*cert == NULL) {
        return;
    }
    for (size_t i = 0; i < (*cert)->count; i++) {
        X509_free((*cert)->items[i]);
    }
    free(*cert);
    *cert = NULL;
}

/* Encrypted blocks are not ours to open: OpenSSL would ask the terminal. */
static int no_password(char *buf, int size, int rwflag, void *u)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)u;
    return -1;
}

static bool end_of_pem(void)
{
    unsigned long e = ERR_peek_last_error();

    return e == 0 ||
           (ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE);
}

int cm_cert_parse(const char *pem, size_t len, struct cm_cert **cert_r,
                  struct cm_err *err)
{
    if (len > CM_CERT_PEM_MAX) {
        return cm_err_set(err, CM_ERR_REFUSE, "more than %u bytes", CM_CERT_PEM_MAX);
    }
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    struct cm_cert *cert = cm_calloc(1, sizeof(*cert));
    X509 *x;
    int rc = 0;

    cm_assert(bio != NULL);
    ERR_clear_error();
    while (rc == 0 && (x = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
        if (cert->count == CM_CERT_CHAIN) {
            X509_free(x);
            rc = cm_err_set(err, CM_ERR_REFUSE, "more than %d certificates",
                            CM_CERT_CHAIN);
        } else {
            cert->items[cert->count++] = x;
        }
    }
    if (rc == 0 && !end_of_pem()) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "certificate %zu cannot be read",
                        cert->count + 1);
    } else if (rc == 0 && cert->count == 0) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "no certificate is in it");
    }
    ERR_clear_error();
    BIO_free(bio);
    if (rc == 0) {
        *cert_r = cert;
    } else {
        cm_cert_free(&cert);
    }
    return rc;
}

struct cm_cert *cm_cert_of_peer(struct x509_st *leaf, const struct stack_st_X509 *rest)
{
    struct cm_cert *cert = cm_calloc(1, sizeof(*cert));
    int n = rest != NULL ? sk_X509_num(rest) : 0;

    X509_up_ref(leaf);
    cert->items[cert->count++] = leaf;
    for (int i = 0; i < n && cert->count < CM_CERT_CHAIN; i++) {
        X509 *x = sk_X509_value(rest, i);
        if (X509_cmp(x, leaf) != 0) {
            X509_up_ref(x);
            cert->items[cert->count++] = x;
        }
    }
    return cert;
}

/* ---- looking ---- */

struct cm_roots *cm_roots_load(const char *path)
{
    struct cm_roots *roots = cm_calloc(1, sizeof(*roots));

    roots->store = X509_STORE_new();
    cm_assert(roots->store != NULL);
    (void)X509_STORE_load_file(roots->store, path);
    ERR_clear_error();
    return roots;
}

void cm_roots_free(struct cm_roots **roots)
{
    if (*roots != NULL) {
        X509_STORE_free((*roots)->store);
        free(*roots);
        *roots = NULL;
    }
}

bool cm_cert_named(const struct cm_cert *cert, const char *name)
{
    unsigned char ip[4];
    X509 *leaf = cert->items[0];

    return inet_pton(AF_INET, name, ip) == 1
               ? X509_check_ip(leaf, ip, sizeof(ip), 0) == 1
               : X509_check_host(leaf, name, 0,
                                 X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                     X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                                 NULL) == 1;
}

static int64_t seconds(const ASN1_TIME *t)
{
    struct tm tm;

    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void put_text(const void *data, int len, char *out, size_t size)
{
    const unsigned char *p = data;
    size_t n = 0;

    for (int i = 0; i < len && n + 1 < size; i++) {
        out[n++] = p[i] > 0x20 && p[i] < 0x7f ? (char)p[i] : p[i] == ' ' ? ' ' : '?';
    }
    out[n] = '\0';
}

static void name_entry(const X509_NAME *name, int nid, char *out, size_t size)
{
    int at = X509_NAME_get_index_by_NID(name, nid, -1);
    const ASN1_STRING *s =
        at < 0 ? NULL : X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));

    out[0] = '\0';
    if (s != NULL) {
        put_text(ASN1_STRING_get0_data(s), ASN1_STRING_length(s), out, size);
    }
}

static void first_name(X509 *leaf, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    const GENERAL_NAME *g = names != NULL && sk_GENERAL_NAME_num(names) > 0
                                ? sk_GENERAL_NAME_value(names, 0)
                                : NULL;

    if (g != NULL && g->type == GEN_DNS) {
        put_text(ASN1_STRING_get0_data(g->d.dNSName), ASN1_STRING_length(g->d.dNSName),
                 out, size);
    } else if (g != NULL && g->type == GEN_IPADD &&
               ASN1_STRING_length(g->d.iPAddress) == 4) {
        const unsigned char *a = ASN1_STRING_get0_data(g->d.iPAddress);
        snprintf(out, size, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
    } else {
        name_entry(X509_get_subject_name(leaf), NID_commonName, out, size);
    }
    GENERAL_NAMES_free(names);
}

static void hex(const unsigned char *data, size_t len, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < len && n + 3 <= size; i++, n += 2) {
        snprintf(out + n, size - n, "%02x", data[i]);
    }
    out[n] = '\0';
}

static void identify(X509 *leaf, struct cm_cert_look *look)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;

    hex(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial), look->serial,
        sizeof(look->serial));
    if (X509_digest(leaf, EVP_sha256(), digest, &len) == 1) {
        hex(digest, len, look->print, sizeof(look->print));
    }
    first_name(leaf, look->subject, sizeof(look->subject));
    const X509_NAME *by = X509_get_issuer_name(leaf);
    name_entry(by, NID_organizationName, look->issuer, sizeof(look->issuer));
    if (look->issuer[0] == '\0') {
        name_entry(by, NID_commonName, look->issuer, sizeof(look->issuer));
    }
}

/* The words are for people; the time is the module's, which tests can turn. */
static bool is_trusted(const struct cm_cert *cert, const struct cm_roots *roots,
                       char *why, size_t size)
{
    STACK_OF(X509) *rest = sk_X509_new_null();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();

    cm_assert(rest != NULL && ctx != NULL);
    for (size_t i = 1; i < cert->count; i++) {
        sk_X509_push(rest, cert->items[i]);
    }
    int rc = X509_STORE_CTX_init(ctx, roots->store, cert->items[0], rest);
    cm_assert(rc == 1);
    X509_STORE_CTX_set_default(ctx, "ssl_server");
    X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx),
                               (time_t)(cm_now_wall_ms() / 1000));
    bool good = X509_verify_cert(ctx) == 1;
    snprintf(why, size, "%s",
             good ? "" : X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    X509_STORE_CTX_free(ctx);
    sk_X509_free(rest);
    ERR_clear_error();
    return good;
}

void cm_cert_look(const struct cm_cert *cert, const char *name,
                  const struct cm_roots *roots, struct cm_cert_look *look_r)
{
    X509 *leaf = cert->items[0];

    *look_r = (struct cm_cert_look){
        .not_before = seconds(X509_get0_notBefore(leaf)),
        .not_after = seconds(X509_get0_notAfter(leaf)),
        .self_signed =
            X509_NAME_cmp(X509_get_subject_name(leaf), X509_get_issuer_name(leaf)) == 0,
        .named = cm_cert_named(cert, name),
    };
    identify(leaf, look_r);
    look_r->trusted =
        is_trusted(cert, roots, look_r->untrusted_why, sizeof(look_r->untrusted_why));
}

/* ---- judging ---- */

int cm_cert_chained(const struct cm_cert *cert, struct cm_err *err)
{
    for (size_t i = 0; i + 1 < cert->count; i++) {
        X509 *x = cert->items[i], *by = cert->items[i + 1];
        EVP_PKEY *key = X509_get0_pubkey(by);
        bool made = key != NULL && X509_check_issued(by, x) == X509_V_OK &&
                    X509_verify(x, key) == 1;
        ERR_clear_error();
        if (!made) {
            return cm_err_set(err, CM_ERR_REFUSE,
                              "certificate %zu of the chain was not made by "
                              "certificate %zu",
                              i + 1, i + 2);
        }
    }
    return 0;
}

int cm_cert_fits(const struct cm_cert *cert, const char *key_pem, size_t len,
                 struct cm_err *err)
{
    if (len > CM_CERT_PEM_MAX) {
        return cm_err_set(err, CM_ERR_REFUSE, "the key has more than %u bytes",
                          CM_CERT_PEM_MAX);
    }
    BIO *bio = BIO_new_mem_buf(key_pem, (int)len);
    cm_assert(bio != NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    int rc = 0;

    BIO_free(bio);
    if (key == NULL) {
        rc = cm_err_set(err, CM_ERR_REFUSE,
                        "no private key without password can be read");
    } else if (X509_check_private_key(cert->items[0], key) != 1) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "the key is not this certificate's");
    }
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rc;
}

struct x509_st *cm_cert_leaf(const struct cm_cert *cert)
{
    return cert->items[0];
}
