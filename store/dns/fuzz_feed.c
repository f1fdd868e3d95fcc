/* Any bytes as the cluster's file: refused with a text, or within its bounds. */
#include <stdint.h>

#include "feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct feed feed;
    struct cm_err err = {.text = ""};

    if (feed_parse((const char *)data, size, &feed, &err) == 0) {
        cm_assert(feed.count <= CM_GATEWAYS_MAX);
        cm_assert(feed.count == 0 || feed.domain[0] != '\0');
        for (size_t i = 0; i < feed.count; i++) {
            cm_assert(feed.gateways[i].address_count <= CM_ADDRESSES_MAX);
        }
    } else {
        cm_assert(err.text[0] != '\0');
    }
    return 0;
}
