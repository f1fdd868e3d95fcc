/* A certificate authority for one run, and server contexts for any name. */
#include "world.h"

#include <stdio.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

static EVP_PKEY *ca_key;
static X509 *ca_cert;

static void add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    world_must(ext != NULL && X509_add_ext(cert, ext, -1) == 1, value);
    X509_EXTENSION_free(ext);
}

static X509 *make(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *cert = X509_new();
    uint64_t serial = 0;
    world_must(RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1, "random");
    X509_set_version(cert, 2);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer != NULL ? issuer : cert));
    X509_set_pubkey(cert, key);
    if (issuer == NULL) {
        add_ext(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
    } else {
        char san[160];
        snprintf(san, sizeof(san), "DNS:%s", name);
        add_ext(cert, issuer, NID_subject_alt_name, san);
    }
    world_must(X509_sign(cert, issuer_key, EVP_sha256()) > 0, "sign");
    return cert;
}

void world_tls_make_ca(const char *ca_path)
{
    ca_key = EVP_EC_gen("P-256");
    ca_cert = make(ca_key, "World Root", NULL, ca_key);
    FILE *file = fopen(ca_path, "we");
    world_must(file != NULL && PEM_write_X509(file, ca_cert) == 1, ca_path);
    fclose(file);
}

SSL_CTX *world_tls_server(const char *name, bool untrusted)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    EVP_PKEY *other_key = untrusted ? EVP_EC_gen("P-256") : NULL;
    X509 *other = untrusted ? make(other_key, "Nobody", NULL, other_key) : NULL;
    X509 *cert =
        make(key, name, untrusted ? other : ca_cert, untrusted ? other_key : ca_key);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    world_must(SSL_CTX_use_certificate(ctx, cert) == 1 &&
                   SSL_CTX_use_PrivateKey(ctx, key) == 1,
               "certificate");
    X509_free(cert);
    X509_free(other);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
    return ctx;
}
