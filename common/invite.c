#include "common/invite.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/evp.h>

#include "common/mem.h"

#define LETTERS (sizeof(CM_INVITE_ALPHABET) - 1)
/* Bytes from here on would favour the first letters. */
#define FAIR (256 / LETTERS * LETTERS)

int cm_invite_make(char token_r[CM_INVITE_LEN + 1], struct cm_err *err)
{
    unsigned char bytes[64];
    size_t n = 0;
    while (n < CM_INVITE_LEN) {
        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
            return cm_err_set(err, CM_ERR_WORLD, "no randomness from the system");
        }
        for (size_t i = 0; i < sizeof(bytes) && n < CM_INVITE_LEN; i++) {
            if (bytes[i] < FAIR) {
                token_r[n++] = CM_INVITE_ALPHABET[bytes[i] % LETTERS];
            }
        }
    }
    token_r[n] = '\0';
    cm_wipe(bytes, sizeof(bytes));
    return 0;
}

/* The first CM_INVITE_LEN characters, which are a token, or false. */
static bool hash_start(const char *text, char hash_r[CM_INVITE_HASH])
{
    char token[CM_INVITE_LEN];
    for (size_t i = 0; i < CM_INVITE_LEN; i++) {
        char c = text[i];
        token[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        if (c == '\0' || strchr(CM_INVITE_ALPHABET, token[i]) == NULL) {
            return false;
        }
    }
    unsigned char md[32];
    cm_assert(EVP_Digest(token, sizeof(token), md, NULL, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < sizeof(md); i++) {
        snprintf(hash_r + 2 * i, 3, "%02x", md[i]);
    }
    cm_wipe(token, sizeof(token));
    return true;
}

bool cm_invite_hash(const char *text, char hash_r[CM_INVITE_HASH])
{
    return strlen(text) == CM_INVITE_LEN && hash_start(text, hash_r);
}

bool cm_invite_split(const char *password, char hash_r[CM_INVITE_HASH],
                     const char **rest_r)
{
    if (strnlen(password, CM_INVITE_LEN + 1) <= CM_INVITE_LEN ||
        password[CM_INVITE_LEN] != '.' || !hash_start(password, hash_r)) {
        return false;
    }
    *rest_r = password + CM_INVITE_LEN + 1;
    return true;
}
