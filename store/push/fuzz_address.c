/* What a bell or a file name may say: an address that is taken must be fit for a file
 * name and for one line at the bell, whatever else it is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/doorbell.h"
#include "common/mem.h"

#include "ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = cm_malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    if (ring_is_address(text)) {
        size_t len = strlen(text);
        const char *at = strchr(text, '@');
        cm_assert(len <= CM_DOORBELL_ADDR_MAX && text[0] != '.');
        cm_assert(strpbrk(text, "/\n\r\t\x7f") == NULL);
        cm_assert(at != NULL && at != text && at[1] != '\0' &&
                  at == strrchr(text, '@'));
        cm_assert(len < 4 || strcmp(text + len - 4, ".tmp") != 0);
    }
    free(text);
    return 0;
}
