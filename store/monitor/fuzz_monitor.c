/* Any text for /metrics: kept and shown within bounds. */
#include <stdint.h>
#include <stdlib.h>

#include "common/mem.h"

#include "page.h"
#include "pick.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ring *ring;
    struct cm_err err;
    struct pick pick = {.last_ms = 0};
    struct ring_sample samples[PICK_MAX];
    struct cm_buf out;
    char *text = cm_strndup((const char *)data, size);

    if (ring == NULL) {
        ring = ring_open(NULL, &err);
    }
    for (int i = 1; i <= 2; i++) {
        size_t n = pick_take(&pick, text, i * 1000, samples);
        cm_assert(n <= PICK_MAX);
        cm_assert(ring_add(ring, 1800000000, samples, n, &err) == 0);
    }
    struct page_facts facts = {.domain = "x",
                               .ring = ring,
                               .metrics = text,
                               .trouble = "",
                               .now_s = 1800000000};
    cm_buf_init(&out, PAGE_MAX);
    page_live(&facts, &out);
    cm_buf_clear(&out);
    free(text);
    return 0;
}
