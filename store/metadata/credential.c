#include "credential.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/file.h"
#include "common/mem.h"

#define SHA1_SIZE 20

int credential_secret(const char *path, char **secret_r, struct cm_err *err)
{
    char *text;
    int rc = cm_file_read(path, CREDENTIAL_SECRET_MAX, &text, NULL, err);
    if (rc <= 0) {
        return rc;
    }
    text[strcspn(text, "\r\n")] = '\0';
    if (text[0] == '\0') {
        free(text);
        return 0;
    }
    *secret_r = text;
    return 1;
}

void credential_line(const char *secret, int64_t now_s, char out[CREDENTIAL_MAX])
{
    unsigned char mac[SHA1_SIZE];
    unsigned int len = 0;
    char password[32]; /* 28 of them, as 20 bytes give */
    int n = snprintf(out, CREDENTIAL_MAX - 32, "%" PRId64, now_s + CREDENTIAL_VALID_S);
    unsigned char *done = HMAC(EVP_sha1(), secret, (int)strlen(secret),
                               (const unsigned char *)out, (size_t)n, mac, &len);
    cm_assert(done != NULL && len == SHA1_SIZE);
    EVP_EncodeBlock((unsigned char *)password, mac, SHA1_SIZE);
    snprintf(out + n, CREDENTIAL_MAX - (size_t)n, ":%s", password);
    cm_wipe(mac, sizeof(mac));
    cm_wipe(password, sizeof(password));
}
