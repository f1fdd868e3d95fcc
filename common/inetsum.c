#include "inetsum.h"

#include <arpa/inet.h>

uint32_t cm_inetsum_add(uint32_t sum, const void *data, size_t len)
{
    const unsigned char *p = data;

    for (size_t i = 0; i + 1 < len; i += 2) {
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    }
    return len % 2 == 0 ? sum : sum + (uint32_t)(p[len - 1] << 8);
}

uint16_t cm_inetsum_done(uint32_t sum)
{
    while (sum > 0xffff) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return htons((uint16_t)~sum);
}
