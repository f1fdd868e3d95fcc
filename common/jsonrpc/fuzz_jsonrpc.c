/* What a child says. */
#include <stdint.h>

#include "jsonrpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cm_buf in;
    struct cm_err err;
    size_t used = 0;
    json_t *object;
    cm_buf_init(&in, 1 << 20);
    cm_buf_add(&in, data, size);
    while ((object = jsonrpc_next(&in, &used)) != NULL) {
        (void)!jsonrpc_error(object, "method", &err);
        json_decref(object);
    }
    cm_assert(used <= in.len);
    cm_buf_clear(&in);
    return 0;
}
