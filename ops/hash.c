#include "hash.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "common/err.h"

void op_hash(const void *data, size_t len, char out[OP_HASH_TEXT])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    int ok = EVP_Digest(data, len, digest, &n, EVP_sha256(), NULL);

    cm_assert(ok == 1 && n == 32);
    for (unsigned int i = 0; i < n; i++) {
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
}
