/* Any template: it renders or says why not, within its limits. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct cm_template_var vars[] = {
        {"a", "yes"}, {"b", "no"}, {"c", ""}, {"d", "{{a}}\n"}, {"e", NULL}};
    bool used[5] = {false};
    char *text = cm_strndup((const char *)data, size);
    char *out = NULL;
    struct cm_err err = {0};
    if (cm_template_render_used("fuzz", text, vars, 5, used, &out, &err) == 0) {
        cm_assert(out != NULL && !used[4]);
        cm_assert(strstr(text, "{{") != NULL || strcmp(text, out) == 0);
    } else {
        cm_assert(out == NULL && err.text[0] != '\0');
    }
    free(out);
    free(text);
    return 0;
}
