/* Any bytes as the answer of a resolver. */
#include <stdint.h>
#include <string.h>

#include "common/err.h"

#include "dkim_dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dkim_answer a = {0};
    uint16_t id = size >= 2 ? (uint16_t)(data[0] << 8 | data[1]) : 0;
    enum dkim_reply reply = dkim_reply_read(data, size, id, "a.example", &a);
    if (reply == DKIM_REPLY_FOUND) {
        cm_assert(a.count > 0 && a.count <= DKIM_RECORDS_MAX && a.ttl_s >= 0);
        size_t sum = 0;
        for (unsigned i = 0; i < a.count; i++) {
            sum += a.len[i];
            cm_assert(memchr(a.record[i], 0, a.len[i]) != a.record[i] + a.len[i]);
        }
        cm_assert(sum <= size);
        dkim_answer_clear(&a);
    }
    return 0;
}
