#include "content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/mem.h"

void content_name(const struct px_state *state, char out[CONTENT_TEXT])
{
    struct px_state *bare = cm_malloc(sizeof(*bare));
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;

    *bare = *state;
    bare->epoch = 0;
    bare->ban_count = 0;
    char *text = px_state_dump(bare);
    int ok = EVP_Digest(text, strlen(text), digest, &n, EVP_sha256(), NULL);
    cm_assert(ok == 1 && n == 32);
    for (unsigned int i = 0; i < n; i++) {
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
    free(text);
    free(bare);
}
