/* Armour judged in any chunking gives one verdict, and incoming mail is never judged
 * more strictly. The first byte says the chunking; with its lowest bit set, what
 * follows is packets alone. */
#include <stdint.h>

#include "common/err.h"

#include "armour.h"

static bool judge(const char *data, size_t size, size_t chunk, bool incoming)
{
    struct armour a;
    armour_init(&a, incoming);
    for (size_t at = 0; at < size; at += chunk) {
        armour_feed(&a, data + at, size - at < chunk ? size - at : chunk);
    }
    return armour_end(&a);
}

static bool frame(const uint8_t *data, size_t size, size_t chunk)
{
    struct packets p;
    packets_init(&p);
    for (size_t at = 0; at < size; at += chunk) {
        packets_feed(&p, data + at, size - at < chunk ? size - at : chunk);
    }
    return packets_end(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t chunk = 1 + data[0] / 2;
    const char *text = (const char *)data + 1;
    if ((data[0] & 1u) != 0) {
        cm_assert(frame(data + 1, size - 1, chunk) == frame(data + 1, size - 1, size));
        return 0;
    }
    bool out = judge(text, size - 1, size, false);
    bool in = judge(text, size - 1, size, true);
    cm_assert(in || !out);
    cm_assert(judge(text, size - 1, chunk, false) == out);
    cm_assert(judge(text, size - 1, chunk, true) == in);
    return 0;
}
