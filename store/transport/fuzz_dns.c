/* Any bytes as an answer of the resolver: the first byte chooses what was asked. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/err.h"
#include "dns_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_MX, DNS_TXT};
    static struct dns_found found;
    if (size < 3) {
        return 0;
    }
    uint16_t id = (uint16_t)(data[1] << 8 | data[2]); /* as the answer will say */
    int rc = dns_packet_answer(data + 1, size - 1, "example.org", types[data[0] % 4],
                               id, &found);
    if (rc == 1) {
        cm_assert(found.count <= DNS_RECORDS_MAX);
        cm_assert((found.status == DNS_FOUND) == (found.count > 0));
        for (size_t i = 0; i < found.count; i++) {
            cm_assert(memchr(found.records[i].text, '\0', DNS_TEXT_MAX) != NULL);
        }
    }
    return 0;
}
