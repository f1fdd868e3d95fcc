#include "common/source.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

bool cm_source_is_v6(const unsigned char source[CM_SOURCE_LEN])
{
    return memcmp(source, mapped, sizeof(mapped)) != 0;
}

int cm_source_parse(const char *text, unsigned char out[CM_SOURCE_LEN],
                    struct cm_err *err)
{
    char address[INET6_ADDRSTRLEN];
    unsigned char bytes[CM_SOURCE_LEN] = {0};
    size_t len = strcspn(text, "/");
    const char *length = text[len] == '/' ? text + len + 1 : NULL;
    bool known = false;

    if (len < sizeof(address)) {
        memcpy(address, text, len);
        address[len] = '\0';
        memcpy(bytes, mapped, sizeof(mapped));
        known = inet_pton(AF_INET, address, bytes + sizeof(mapped)) == 1 ||
                inet_pton(AF_INET6, address, bytes) == 1;
    }
    bool v6 = known && cm_source_is_v6(bytes);
    if (!known || (length != NULL && strcmp(length, v6 ? "64" : "32") != 0)) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "\"%.60s\" is not an address; allowed: IPv4, IPv6", text);
    }
    if (v6) {
        memset(bytes + 8, 0, 8);
    }
    memcpy(out, bytes, sizeof(bytes));
    return 0;
}

bool cm_source_is_public(const unsigned char source[CM_SOURCE_LEN])
{
    /* As in the store's firewall (proxy/plane_store.c). */
    static const struct {
        uint32_t net;
        unsigned bits;
    } not_public[] = {
        {0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},
        {0xa9fe0000, 16}, {0xac100000, 12}, {0xc0000000, 24}, {0xc0a80000, 16},
        {0xc6120000, 15}, {0xe0000000, 3},
    };
    if (cm_source_is_v6(source)) {
        return source[0] >> 5 == 1; /* 2000::/3 */
    }
    uint32_t host = (uint32_t)source[12] << 24 | (uint32_t)source[13] << 16 |
                    (uint32_t)source[14] << 8 | source[15];
    for (size_t i = 0; i < sizeof(not_public) / sizeof(not_public[0]); i++) {
        if ((host ^ not_public[i].net) >> (32 - not_public[i].bits) == 0) {
            return false;
        }
    }
    return true;
}

void cm_source_text(const unsigned char source[CM_SOURCE_LEN], bool prefix,
                    char out[CM_SOURCE_TEXT])
{
    char address[INET6_ADDRSTRLEN] = "";
    bool v6 = cm_source_is_v6(source);

    inet_ntop(v6 ? AF_INET6 : AF_INET, v6 ? source : source + sizeof(mapped), address,
              sizeof(address));
    snprintf(out, CM_SOURCE_TEXT, "%s%s", address, v6 && prefix ? "/64" : "");
}
