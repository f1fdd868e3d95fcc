/* The answers of ip(8): not hostile, but not ours either. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "links.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = cm_strndup((const char *)data, size);
    struct px_links_have have = {text, text, text};
    struct cm_err err;
    char *batch;
    if (px_links_diff(
            "link set dev wg0 mtu 1280 up\naddr replace 10.77.1.1/30 dev wg0\n", &have,
            0, ~0u, &batch, &err) == 0) {
        free(batch);
    }
    if (px_links_diff(text, &(struct px_links_have){"[]", "", ""}, 1, ~0u, &batch,
                      &err) == 0) {
        free(batch);
    }
    free(text);
    return 0;
}
