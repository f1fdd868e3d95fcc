/* sign: Ed25519 (RFC 8032) over bytes, keys as standard base64 text, padded, of 32
 * bytes (44 characters), signatures as base64 of 64 bytes (88 characters). libsodium
 * behind this one file: in a gateway's agent, which asks for no other cryptography,
 * OpenSSL took 3 MiB of memory. */
#ifndef CM_SIGN_H
#define CM_SIGN_H

#include <stddef.h>

#include "common/err.h"

#define CM_SIGN_KEY_TEXT 45 /* with NUL */
#define CM_SIGN_SIG_TEXT 89

/* Makes a key pair; both as base64 text. Wipe `secret` after use. */
CM_MUSTUSE int cm_sign_keygen(char secret[CM_SIGN_KEY_TEXT],
                              char public_key[CM_SIGN_KEY_TEXT], struct cm_err *err);
CM_MUSTUSE int cm_sign_public(const char *secret, char public_key[CM_SIGN_KEY_TEXT],
                              struct cm_err *err);
CM_MUSTUSE int cm_sign(const char *secret, const void *data, size_t len,
                       char sig[CM_SIGN_SIG_TEXT], struct cm_err *err);
/* 0 when sig is the signature of data by public_key; else -1, kind REFUSE. */
CM_MUSTUSE int cm_sign_verify(const char *public_key, const void *data, size_t len,
                              const char *sig, struct cm_err *err);

#endif
