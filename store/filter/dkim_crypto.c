#include "dkim_crypto.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "common/err.h"
#include "common/mem.h"

/* ---- hash ---- */

struct dkim_hash {
    EVP_MD_CTX *ctx;
};

/* Fetched once: OpenSSL 3 looks an algorithm up under a lock else, for each message. */
static EVP_MD *sha256;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    cm_assert(sha256 != NULL);
}

struct dkim_hash *dkim_hash_new(void)
{
    struct dkim_hash *h = cm_calloc(1, sizeof(*h));
    pthread_once(&once, fetch);
    h->ctx = EVP_MD_CTX_new();
    cm_assert(h->ctx != NULL && EVP_DigestInit_ex2(h->ctx, sha256, NULL) == 1);
    return h;
}

void dkim_hash_free(struct dkim_hash **h)
{
    if (*h != NULL) {
        EVP_MD_CTX_free((*h)->ctx);
        free(*h);
        *h = NULL;
    }
}

void dkim_hash_add(struct dkim_hash *h, const void *data, size_t len)
{
    cm_assert(EVP_DigestUpdate(h->ctx, data, len) == 1);
}

void dkim_hash_peek(const struct dkim_hash *h, unsigned char out[DKIM_HASH_SIZE])
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    cm_assert(copy != NULL && EVP_MD_CTX_copy_ex(copy, h->ctx) == 1 &&
              EVP_DigestFinal_ex(copy, out, NULL) == 1);
    EVP_MD_CTX_free(copy);
}

void dkim_hash_take(struct dkim_hash *h, unsigned char out[DKIM_HASH_SIZE])
{
    cm_assert(EVP_DigestFinal_ex(h->ctx, out, NULL) == 1 &&
              EVP_DigestInit_ex2(h->ctx, sha256, NULL) == 1);
}

size_t dkim_base64_text(const unsigned char *data, size_t len, char *out)
{
    return (size_t)EVP_EncodeBlock((unsigned char *)out, data, (int)len);
}

/* ---- DER, as much as an RSA key needs ---- */

/* OpenSSL's own reader of SubjectPublicKeyInfo would try every key type it knows on
 * bytes that a stranger chose; here only RSA keys are read. */

#define DER_INTEGER    0x02
#define DER_BIT_STRING 0x03
#define DER_SEQUENCE   0x30

struct der {
    const unsigned char *p;
    size_t len;
};

/* Takes the element with this tag off the front of *in; its content goes to *out. */
static bool der_take(struct der *in, unsigned char tag, struct der *out)
{
    if (in->len < 2 || in->p[0] != tag) {
        return false;
    }
    size_t size = in->p[1];
    size_t head = 2;
    if (size >= 0x80) {
        size_t octets = size & 0x7f;
        if (octets == 0 || octets > 2 || in->len < 2 + octets) {
            return false;
        }
        size = octets == 1 ? in->p[2] : (size_t)in->p[2] << 8 | in->p[3];
        head += octets;
    }
    if (size > in->len - head) {
        return false;
    }
    *out = (struct der){in->p + head, size};
    in->p += head + size;
    in->len -= head + size;
    return true;
}

/* Content of RSAPublicKey's SEQUENCE: modulus and exponent, positive. */
static bool rsa_numbers(struct der seq, struct der *n, struct der *e)
{
    return der_take(&seq, DER_INTEGER, n) && der_take(&seq, DER_INTEGER, e) &&
           n->len > 0 && e->len > 0 && (n->p[0] & 0x80) == 0 && (e->p[0] & 0x80) == 0;
}

static bool rsa_parts(const unsigned char *data, size_t len, struct der *n,
                      struct der *e)
{
    static const unsigned char rsa_encryption[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                                   0xf7, 0x0d, 0x01, 0x01, 0x01};
    struct der all = {data, len};
    struct der outer, algorithm, bits, inner;
    if (!der_take(&all, DER_SEQUENCE, &outer)) {
        return false;
    }
    if (outer.len > 0 && outer.p[0] == DER_INTEGER) {
        return rsa_numbers(outer, n, e);
    }
    if (!der_take(&outer, DER_SEQUENCE, &algorithm) ||
        algorithm.len < sizeof(rsa_encryption) ||
        memcmp(algorithm.p, rsa_encryption, sizeof(rsa_encryption)) != 0 ||
        !der_take(&outer, DER_BIT_STRING, &bits) || bits.len < 1 || bits.p[0] != 0) {
        return false;
    }
    bits.p++;
    bits.len--;
    return der_take(&bits, DER_SEQUENCE, &inner) && rsa_numbers(inner, n, e);
}

/* ---- keys ---- */

struct dkim_pubkey {
    enum dkim_alg alg;
    EVP_PKEY *key;
};

static EVP_PKEY *rsa_build(const BIGNUM *n, const BIGNUM *e)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    cm_assert(build != NULL && ctx != NULL &&
              OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
              OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    cm_assert(params != NULL && EVP_PKEY_fromdata_init(ctx) == 1);
    if (EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        key = NULL;
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *rsa_key(const unsigned char *data, size_t len, enum dkim_flaw *flaw)
{
    struct der n, e;
    if (!rsa_parts(data, len, &n, &e)) {
        return NULL;
    }
    BIGNUM *modulus = BN_bin2bn(n.p, (int)n.len, NULL);
    BIGNUM *exponent = BN_bin2bn(e.p, (int)e.len, NULL);
    cm_assert(modulus != NULL && exponent != NULL);
    EVP_PKEY *key = NULL;
    if (BN_num_bits(modulus) < DKIM_RSA_BITS_MIN ||
        BN_num_bits(modulus) > DKIM_RSA_BITS_MAX ||
        BN_num_bits(exponent) > DKIM_RSA_EXPONENT_BITS_MAX) {
        *flaw = DKIM_FLAW_KEY_SIZE;
    } else if (BN_is_odd(modulus) && BN_is_odd(exponent) && !BN_is_one(exponent)) {
        key = rsa_build(modulus, exponent);
    }
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

struct dkim_pubkey *dkim_pubkey_new(enum dkim_alg alg, const unsigned char *data,
                                    size_t len, enum dkim_flaw *flaw)
{
    EVP_PKEY *key = NULL;
    *flaw = DKIM_FLAW_KEY;
    if (alg == DKIM_RSA_SHA256) {
        key = rsa_key(data, len, flaw);
    } else if (len == DKIM_ED25519_KEY_SIZE) {
        key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, data, len);
    }
    ERR_clear_error();
    if (key == NULL) {
        return NULL;
    }
    *flaw = DKIM_FLAW_NONE;
    struct dkim_pubkey *k = cm_calloc(1, sizeof(*k));
    *k = (struct dkim_pubkey){alg, key};
    return k;
}

void dkim_pubkey_free(struct dkim_pubkey **key)
{
    if (*key != NULL) {
        EVP_PKEY_free((*key)->key);
        free(*key);
        *key = NULL;
    }
}

static bool rsa_fits(EVP_PKEY *key, const unsigned char *hash, const unsigned char *sig,
                     size_t sig_len)
{
    pthread_once(&once, fetch);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool fits = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
                EVP_PKEY_CTX_set_signature_md(ctx, sha256) == 1 &&
                EVP_PKEY_verify(ctx, sig, sig_len, hash, DKIM_HASH_SIZE) == 1;
    EVP_PKEY_CTX_free(ctx);
    return fits;
}

/* RFC 8463: the text that Ed25519 signs is the hash itself. */
static bool ed25519_fits(EVP_PKEY *key, const unsigned char *hash,
                         const unsigned char *sig, size_t sig_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool fits = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestVerify(ctx, sig, sig_len, hash, DKIM_HASH_SIZE) == 1;
    EVP_MD_CTX_free(ctx);
    return fits;
}

bool dkim_pubkey_fits(const struct dkim_pubkey *key,
                      const unsigned char hash[DKIM_HASH_SIZE],
                      const unsigned char *sig, size_t sig_len)
{
    bool fits = key->alg == DKIM_RSA_SHA256
                    ? rsa_fits(key->key, hash, sig, sig_len)
                    : ed25519_fits(key->key, hash, sig, sig_len);
    ERR_clear_error();
    return fits;
}

/* ---- the key that signs ---- */

struct dkim_privkey {
    EVP_PKEY *key;
    atomic_uint references;
};

/* Else OpenSSL would ask for a passphrase on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static EVP_PKEY *pem_key(const char *pem, size_t len)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    cm_assert(bio != NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

struct dkim_privkey *dkim_privkey_read(const char *pem, size_t len, struct cm_err *err)
{
    EVP_PKEY *key = pem_key(pem, len);
    if (key == NULL) {
        cm_err_set(err, CM_ERR_WORLD, "no private key in PEM without a passphrase");
        return NULL;
    }
    int bits = EVP_PKEY_get_bits(key);
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || bits < DKIM_RSA_BITS_MIN ||
        bits > DKIM_RSA_BITS_MAX) {
        cm_err_set(err, CM_ERR_WORLD,
                   "a key of type %s with %d bits, not RSA with %d to %d bits",
                   EVP_PKEY_get0_type_name(key), bits, DKIM_RSA_BITS_MIN,
                   DKIM_RSA_BITS_MAX);
        EVP_PKEY_free(key);
        return NULL;
    }
    struct dkim_privkey *k = cm_calloc(1, sizeof(*k));
    k->key = key;
    k->references = 1;
    return k;
}

struct dkim_privkey *dkim_privkey_share(struct dkim_privkey *key)
{
    atomic_fetch_add(&key->references, 1);
    return key;
}

void dkim_privkey_free(struct dkim_privkey **key)
{
    if (*key != NULL && atomic_fetch_sub(&(*key)->references, 1) == 1) {
        EVP_PKEY_free((*key)->key); /* wiped by OpenSSL */
        free(*key);
    }
    *key = NULL;
}

bool dkim_privkey_sign(const struct dkim_privkey *key,
                       const unsigned char hash[DKIM_HASH_SIZE],
                       unsigned char sig[DKIM_SIG_SIZE_MAX], size_t *len_r)
{
    size_t len = DKIM_SIG_SIZE_MAX;
    pthread_once(&once, fetch);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->key, NULL);
    bool done = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
                EVP_PKEY_CTX_set_signature_md(ctx, sha256) == 1 &&
                EVP_PKEY_sign(ctx, sig, &len, hash, DKIM_HASH_SIZE) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    if (done) {
        *len_r = len;
    }
    return done;
}
