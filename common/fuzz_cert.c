/* A peer's or an operator's PEM text, and a CA's: whatever it is, it is read or
 * refused. */
#include <stdint.h>
#include <string.h>

#include "common/cert.h"
#include "common/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cm_roots *nobody;
    struct cm_cert_look look;
    struct cm_cert *cert = NULL;
    struct cm_err err;
    const char *text = (const char *)data;

    if (nobody == NULL) {
        nobody = cm_roots_load("/nonexistent");
    }
    if (cm_cert_parse(text, size, &cert, &err) != 0) {
        cm_assert(cert == NULL && err.kind == CM_ERR_REFUSE && err.text[0] != '\0');
        return 0;
    }
    cm_cert_look(cert, "chat.example.org", nobody, &look);
    cm_assert(!look.trusted);
    for (const char *p = look.subject; *p != '\0'; p++) {
        cm_assert(*p >= 0x20 && *p < 0x7f);
    }
    (void)(cm_cert_chained(cert, &err) + cm_cert_fits(cert, text, size, &err));
    cm_cert_free(&cert);
    return 0;
}
