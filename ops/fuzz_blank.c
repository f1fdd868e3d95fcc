/* Lines of a log are foreign bytes: whatever they hold, what comes out is printable. */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>

#include "blank.h"
#include "common/err.h"
#include "common/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct op_blank b;
    char *line = cm_strndup((const char *)data, size);

    op_blank_init(&b);
    op_blank_keep(&b, "chat.example.org");
    char *said = op_blank(&b, line);
    for (const char *p = said; *p != '\0'; p++) {
        cm_assert(isprint((unsigned char)*p));
    }
    free(said);
    free(line);
    return 0;
}
