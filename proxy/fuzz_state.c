/* What arrives on the bus: the document, after and before its signature. */
#include <stdint.h>
#include <stdlib.h>

#include "state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct px_state state;
    struct cm_err err;
    if (px_state_parse((const char *)data, size, &state, &err) == 0) {
        /* What was read must survive being written and read again. */
        char *text = px_state_dump(&state);
        cm_assert(px_state_parse(text, __builtin_strlen(text), &state, &err) == 0);
        free(text);
    }
    (void)!px_envelope_open("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                            (const char *)data, size, &state, &err);
    return 0;
}
