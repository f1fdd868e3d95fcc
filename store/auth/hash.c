#include "hash.h"

#include <crypt.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/mem.h"

#define SALT_LEN 16

static int make_setting(char out[SALT_LEN + 4])
{
    static const char alphabet[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char bytes[SALT_LEN];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        return -1;
    }
    memcpy(out, "$6$", 3);
    for (size_t i = 0; i < SALT_LEN; i++) {
        out[3 + i] = alphabet[bytes[i] % 64];
    }
    out[3 + SALT_LEN] = '\0';
    return 0;
}

int hash_password(const char *password, char hash_r[HASH_SIZE])
{
    static _Thread_local struct crypt_data data; /* 32 KiB: not on the stack */
    char setting[SALT_LEN + 4];
    if (make_setting(setting) != 0) {
        return -1;
    }
    const char *hash = crypt_rn(password, setting, &data, sizeof(data));
    int n = hash != NULL ? snprintf(hash_r, HASH_SIZE, "{SHA512-CRYPT}%s", hash) : -1;
    cm_wipe(&data, sizeof(data));
    return n > 0 && n < HASH_SIZE ? 0 : -1;
}
