/* A key file of any bytes: refused with a text, or whole. */
#include <stdint.h>
#include <string.h>

#include "key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cm_err err = {.text = ""};
    struct dns_key key;

    if (dns_key_parse((const char *)data, size, &key, &err) == 0) {
        cm_assert(key.name[0] != '\0' && key.secret[0] != '\0');
        cm_assert(strncmp(key.algorithm, "hmac-sha", 8) == 0);
    } else {
        cm_assert(err.text[0] != '\0');
    }
    return 0;
}
