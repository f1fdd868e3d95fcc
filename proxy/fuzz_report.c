/* A report from a stolen gateway. */
#include <stdint.h>
#include <stdlib.h>

#include "report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct px_report report;
    struct cm_err err;
    if (px_report_parse((const char *)data, size, &report, &err) == 0) {
        char *text = px_report_dump(&report);
        cm_assert(px_report_parse(text, __builtin_strlen(text), &report, &err) == 0);
        free(text);
    }
    return 0;
}
