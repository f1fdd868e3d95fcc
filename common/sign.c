#include "common/sign.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "common/mem.h"

#define KEY_SIZE 32
#define SIG_SIZE 64

void cm_sign_lean(void)
{
    (void)OPENSSL_init_crypto(
        OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS |
            OPENSSL_INIT_NO_ADD_ALL_CIPHERS | OPENSSL_INIT_NO_ADD_ALL_DIGESTS,
        NULL);
}

static int crypto_failed(struct cm_err *err, const char *what)
{
    char text[256];
    ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    ERR_clear_error();
    return cm_err_set(err, CM_ERR_WORLD, "%s: %s", what, text);
}

/* Only the one spelling that encoding gives back, so that a text stands for its bytes.
 */
static int decode(const char *text, unsigned char *out, size_t size)
{
    size_t text_len = (size + 2) / 3 * 4;
    unsigned char raw[SIG_SIZE + 3];
    char again[CM_SIGN_SIG_TEXT];
    cm_assert(size <= SIG_SIZE);
    int rc = -1;
    if (strlen(text) == text_len &&
        EVP_DecodeBlock(raw, (const unsigned char *)text, (int)text_len) > 0) {
        EVP_EncodeBlock((unsigned char *)again, raw, (int)size);
        if (memcmp(again, text, text_len) == 0) {
            memcpy(out, raw, size);
            rc = 0;
        }
    }
    cm_wipe(raw, sizeof(raw));
    cm_wipe(again, sizeof(again));
    return rc;
}

static void encode(const unsigned char *data, size_t size, char *text)
{
    EVP_EncodeBlock((unsigned char *)text, data, (int)size);
}

static EVP_PKEY *load_secret(const char *secret, struct cm_err *err)
{
    unsigned char raw[KEY_SIZE];
    if (decode(secret, raw, sizeof(raw)) != 0) {
        cm_err_set(err, CM_ERR_WORLD, "the secret key is not base64 of 32 bytes");
        return NULL;
    }
    EVP_PKEY *key =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw, sizeof(raw));
    cm_wipe(raw, sizeof(raw));
    if (key == NULL) {
        crypto_failed(err, "cannot load the secret key");
    }
    return key;
}

int cm_sign_public(const char *secret, char public_key[CM_SIGN_KEY_TEXT],
                   struct cm_err *err)
{
    EVP_PKEY *key = load_secret(secret, err);
    if (key == NULL) {
        return -1;
    }
    unsigned char raw[KEY_SIZE];
    size_t size = sizeof(raw);
    int ok = EVP_PKEY_get_raw_public_key(key, raw, &size);
    EVP_PKEY_free(key);
    if (ok != 1) {
        return crypto_failed(err, "cannot make the public key");
    }
    encode(raw, sizeof(raw), public_key);
    return 0;
}

int cm_sign_keygen(char secret[CM_SIGN_KEY_TEXT], char public_key[CM_SIGN_KEY_TEXT],
                   struct cm_err *err)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (key == NULL) {
        return crypto_failed(err, "cannot make a key");
    }
    unsigned char raw[KEY_SIZE];
    unsigned char raw_public[KEY_SIZE];
    size_t size = sizeof(raw);
    size_t public_size = sizeof(raw_public);
    int ok = EVP_PKEY_get_raw_private_key(key, raw, &size) == 1 &&
             EVP_PKEY_get_raw_public_key(key, raw_public, &public_size) == 1;
    EVP_PKEY_free(key);
    if (ok) {
        encode(raw, sizeof(raw), secret);
        encode(raw_public, sizeof(raw_public), public_key);
    }
    cm_wipe(raw, sizeof(raw));
    return ok ? 0 : crypto_failed(err, "cannot read the new key");
}

int cm_sign(const char *secret, const void *data, size_t len,
            char sig[CM_SIGN_SIG_TEXT], struct cm_err *err)
{
    EVP_PKEY *key = load_secret(secret, err);
    if (key == NULL) {
        return -1;
    }
    unsigned char raw[SIG_SIZE];
    size_t size = sizeof(raw);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
             EVP_DigestSign(ctx, raw, &size, data, len) == 1 && size == sizeof(raw);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (!ok) {
        return crypto_failed(err, "cannot sign");
    }
    encode(raw, sizeof(raw), sig);
    return 0;
}

int cm_sign_verify(const char *public_key, const void *data, size_t len,
                   const char *sig, struct cm_err *err)
{
    unsigned char raw_key[KEY_SIZE];
    unsigned char raw_sig[SIG_SIZE];
    if (decode(public_key, raw_key, sizeof(raw_key)) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "the public key is not base64 of 32 bytes");
    }
    if (decode(sig, raw_sig, sizeof(raw_sig)) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "the signature is not base64 of 64 bytes");
    }
    EVP_PKEY *key =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw_key, sizeof(raw_key));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = key != NULL && ctx != NULL &&
             EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
             EVP_DigestVerify(ctx, raw_sig, sizeof(raw_sig), data, len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (!ok) {
        return cm_err_set(err, CM_ERR_REFUSE, "the signature does not fit the key");
    }
    return 0;
}
