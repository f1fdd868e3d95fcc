#include "common/sign.h"

#include <sodium.h>
#include <string.h>

#include "common/mem.h"

#define SEED crypto_sign_SEEDBYTES
#define KEY  crypto_sign_PUBLICKEYBYTES
#define SIG  crypto_sign_BYTES
#define KIND sodium_base64_VARIANT_ORIGINAL

_Static_assert(CM_SIGN_KEY_TEXT == sodium_base64_ENCODED_LEN(SEED, KIND) &&
                   CM_SIGN_KEY_TEXT == sodium_base64_ENCODED_LEN(KEY, KIND) &&
                   CM_SIGN_SIG_TEXT == sodium_base64_ENCODED_LEN(SIG, KIND),
               "texts of keys and signatures have room");

/* Chooses what this processor does best, once. */
static void ready(void)
{
    cm_assert(sodium_init() >= 0);
}

/* Only the one spelling that encoding gives back, so that a text stands for its bytes.
 */
static int decode(const char *text, unsigned char *out, size_t size)
{
    unsigned char raw[SIG];
    char again[CM_SIGN_SIG_TEXT];
    size_t len = 0;
    cm_assert(size <= sizeof(raw));
    int rc = -1;
    if (sodium_base642bin(raw, size, text, strlen(text), NULL, &len, NULL, KIND) == 0 &&
        len == size &&
        strcmp(sodium_bin2base64(again, sizeof(again), raw, size, KIND), text) == 0) {
        memcpy(out, raw, size);
        rc = 0;
    }
    cm_wipe(raw, sizeof(raw));
    cm_wipe(again, sizeof(again));
    return rc;
}

/* The key as libsodium wants it: seed and public key. */
static int load_secret(const char *secret,
                       unsigned char key[crypto_sign_SECRETKEYBYTES],
                       unsigned char public_key[KEY], struct cm_err *err)
{
    unsigned char seed[SEED];
    if (decode(secret, seed, sizeof(seed)) != 0) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "the secret key is not base64 of 32 bytes");
    }
    ready();
    cm_assert(crypto_sign_seed_keypair(public_key, key, seed) == 0);
    cm_wipe(seed, sizeof(seed));
    return 0;
}

int cm_sign_public(const char *secret, char public_key[CM_SIGN_KEY_TEXT],
                   struct cm_err *err)
{
    unsigned char key[crypto_sign_SECRETKEYBYTES], raw[KEY];
    if (load_secret(secret, key, raw, err) != 0) {
        return -1;
    }
    cm_wipe(key, sizeof(key));
    sodium_bin2base64(public_key, CM_SIGN_KEY_TEXT, raw, sizeof(raw), KIND);
    return 0;
}

int cm_sign_keygen(char secret[CM_SIGN_KEY_TEXT], char public_key[CM_SIGN_KEY_TEXT],
                   struct cm_err *err)
{
    unsigned char key[crypto_sign_SECRETKEYBYTES], raw[KEY], seed[SEED];
    ready();
    if (crypto_sign_keypair(raw, key) != 0 ||
        crypto_sign_ed25519_sk_to_seed(seed, key) != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "cannot make a key");
    }
    sodium_bin2base64(secret, CM_SIGN_KEY_TEXT, seed, sizeof(seed), KIND);
    sodium_bin2base64(public_key, CM_SIGN_KEY_TEXT, raw, sizeof(raw), KIND);
    cm_wipe(key, sizeof(key));
    cm_wipe(seed, sizeof(seed));
    return 0;
}

int cm_sign(const char *secret, const void *data, size_t len,
            char sig[CM_SIGN_SIG_TEXT], struct cm_err *err)
{
    unsigned char key[crypto_sign_SECRETKEYBYTES], public_key[KEY], raw[SIG];
    if (load_secret(secret, key, public_key, err) != 0) {
        return -1;
    }
    cm_assert(crypto_sign_detached(raw, NULL, data, len, key) == 0);
    cm_wipe(key, sizeof(key));
    sodium_bin2base64(sig, CM_SIGN_SIG_TEXT, raw, sizeof(raw), KIND);
    return 0;
}

int cm_sign_verify(const char *public_key, const void *data, size_t len,
                   const char *sig, struct cm_err *err)
{
    unsigned char key[KEY], raw[SIG];
    if (decode(public_key, key, sizeof(key)) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "the public key is not base64 of 32 bytes");
    }
    if (decode(sig, raw, sizeof(raw)) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "the signature is not base64 of 64 bytes");
    }
    ready();
    if (crypto_sign_verify_detached(raw, data, len, key) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "the signature does not fit the key");
    }
    return 0;
}
