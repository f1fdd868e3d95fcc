/* dkim_crypto: the hash and the keys of DKIM. OpenSSL behind this one file.
 *
 * A key may be used by several threads at once; a hash belongs to one. */
#ifndef FILTER_DKIM_CRYPTO_H
#define FILTER_DKIM_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#include "dkim_flaw.h"

#define DKIM_HASH_SIZE 32 /* SHA-256 */
/* RFC 8301: at least 1024, and 4096 must work. Twice that is where checking a signature
 * begins to cost a stranger less than us. */
#define DKIM_RSA_BITS_MIN          1024
#define DKIM_RSA_BITS_MAX          8192
#define DKIM_RSA_EXPONENT_BITS_MAX 64
#define DKIM_SIG_SIZE_MAX          (DKIM_RSA_BITS_MAX / 8)
#define DKIM_ED25519_KEY_SIZE      32

enum dkim_alg { DKIM_RSA_SHA256, DKIM_ED25519_SHA256 };

struct dkim_hash;
struct dkim_hash *dkim_hash_new(void);
void dkim_hash_free(struct dkim_hash **h);
void dkim_hash_add(struct dkim_hash *h, const void *data, size_t len);
/* The hash of all so far; more may be added afterwards. */
void dkim_hash_peek(const struct dkim_hash *h, unsigned char out[DKIM_HASH_SIZE]);
/* The hash of all; h is empty again. */
void dkim_hash_take(struct dkim_hash *h, unsigned char out[DKIM_HASH_SIZE]);

#define DKIM_BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1)
/* Writes base64 and a NUL, returns its length. */
size_t dkim_base64_text(const unsigned char *data, size_t len, char *out);

struct dkim_pubkey;
/* RSA: a SubjectPublicKeyInfo of rsaEncryption, or a bare RSAPublicKey (PKCS #1); bytes
 * behind it are ignored. Ed25519: 32 raw bytes. NULL with *flaw set (DKIM_FLAW_KEY or
 * DKIM_FLAW_KEY_SIZE) when it is not one. */
struct dkim_pubkey *dkim_pubkey_new(enum dkim_alg alg, const unsigned char *data,
                                    size_t len, enum dkim_flaw *flaw);
void dkim_pubkey_free(struct dkim_pubkey **key);
/* Whether sig signs the text whose SHA-256 is hash. */
bool dkim_pubkey_fits(const struct dkim_pubkey *key,
                      const unsigned char hash[DKIM_HASH_SIZE],
                      const unsigned char *sig, size_t sig_len);

struct dkim_privkey;
/* A private RSA key of DKIM_RSA_BITS_MIN to DKIM_RSA_BITS_MAX bits from PEM (PKCS #1 or
 * #8, without a passphrase). NULL, err says what it is instead. One reference. */
struct dkim_privkey *dkim_privkey_read(const char *pem, size_t len, struct cm_err *err);
/* One reference more, for another thread; each is given back by dkim_privkey_free. */
struct dkim_privkey *dkim_privkey_share(struct dkim_privkey *key);
void dkim_privkey_free(struct dkim_privkey **key);
/* rsa-sha256 of the text whose SHA-256 is hash. False: OpenSSL could not. */
CM_MUSTUSE bool dkim_privkey_sign(const struct dkim_privkey *key,
                                  const unsigned char hash[DKIM_HASH_SIZE],
                                  unsigned char sig[DKIM_SIG_SIZE_MAX], size_t *len_r);

#endif
