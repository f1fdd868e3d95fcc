#include "blind.h"

#include <stdio.h>
#include <string.h>

#include <openssl/sha.h>

void blind(const char *addr, char out[BLIND_SIZE])
{
    unsigned char sum[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)addr, strlen(addr), sum);
    for (size_t i = 0; i + 1 < BLIND_SIZE; i += 2) {
        snprintf(out + i, 3, "%02x", sum[i / 2]);
    }
}
