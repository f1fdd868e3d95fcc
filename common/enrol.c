#include "common/enrol.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/invite.h"
#include "common/mem.h"

static void hash_text(const char *text, size_t len, char hash_r[CM_ENROL_HASH])
{
    unsigned char md[32];
    cm_assert(EVP_Digest(text, len, md, NULL, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < sizeof(md); i++) {
        snprintf(hash_r + 2 * i, 3, "%02x", md[i]);
    }
}

int cm_enrol_make(char token_r[CM_ENROL_LEN + 1], struct cm_err *err)
{
    char half[CM_INVITE_LEN + 1];
    for (size_t i = 0; i < CM_ENROL_LEN; i += CM_INVITE_LEN) {
        if (cm_invite_make(half, err) != 0) {
            return -1;
        }
        memcpy(token_r + i, half, CM_INVITE_LEN);
    }
    token_r[CM_ENROL_LEN] = '\0';
    cm_wipe(half, sizeof(half));
    return 0;
}

bool cm_enrol_hash(const char *text, char hash_r[CM_ENROL_HASH])
{
    if (strlen(text) != CM_ENROL_LEN ||
        strspn(text, CM_INVITE_ALPHABET) != CM_ENROL_LEN) {
        return false;
    }
    hash_text(text, CM_ENROL_LEN, hash_r);
    return true;
}

void cm_enrol_print(const char *wg_public_key, char print_r[CM_ENROL_PRINT])
{
    char hash[CM_ENROL_HASH];
    hash_text(wg_public_key, strlen(wg_public_key), hash);
    snprintf(print_r, CM_ENROL_PRINT, "%.4s %.4s %.4s %.4s %.4s", hash, hash + 4,
             hash + 8, hash + 12, hash + 16);
}
