/* Whatever a name says, what is read from it is no negative number. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#include "trim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *name = cm_malloc(size + 1);
    memcpy(name, data, size);
    name[size] = '\0';
    int64_t time = -1, bytes = -1;
    if (trim_parse(name, &time, &bytes)) {
        cm_assert(time >= 0 && bytes >= 0 && strchr(name, '.') != NULL);
    } else {
        cm_assert(time == -1 && bytes == -1);
    }
    free(name);
    return 0;
}
