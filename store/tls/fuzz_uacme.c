/* What uacme says, with the CA's words in it, and a CA's directory: only printable text
 * comes out of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "issuer.h"
#include "uacme.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_plain(const char *text, size_t size)
{
    size_t n = strnlen(text, size);

    cm_assert(n < size);
    for (size_t i = 0; i < n; i++) {
        cm_assert(text[i] >= 0x20 && text[i] < 0x7f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = cm_strndup((const char *)data, size), issuer[ISSUER_MAX];
    struct uacme_said said;

    uacme_read(text, &said);
    must_be_plain(said.account, sizeof(said.account));
    must_be_plain(said.type, sizeof(said.type));
    must_be_plain(said.why, sizeof(said.why));
    cm_assert(issuer_of_directory(text, issuer, sizeof(issuer)) < sizeof(issuer));
    must_be_plain(issuer, sizeof(issuer));
    free(text);
    return 0;
}
