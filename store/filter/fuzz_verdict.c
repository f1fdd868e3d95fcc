/* A whole message, as the milters see it. In any chunking it is the same, and what
 * counts as encrypted for a stranger's reader has all that must be there. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

#include "judge.h"

static void must_have(const uint8_t *data, size_t size, const char *text)
{
    cm_assert(memmem(data, size, text, strlen(text)) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct verdict v;
    for (int side = VERDICT_OUTGOING; side <= VERDICT_INCOMING; side++) {
        judge_message(&v, (enum verdict_side)side, (const char *)data, size, size + 1);
        enum verdict_kind kind = verdict_kind(&v);
        const char *reason = verdict_reason(&v);
        cm_assert(reason != NULL);
        judge_message(&v, (enum verdict_side)side, (const char *)data, size,
                      1 + size % 13);
        cm_assert(verdict_kind(&v) == kind);
        if (kind == VERDICT_ENCRYPTED || kind == VERDICT_SECUREJOIN) {
            must_have(data, size, "--");
            cm_assert(v.ctype.boundary[0] != '\0');
        }
    }
    return 0;
}
