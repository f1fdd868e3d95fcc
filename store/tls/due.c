#include "due.h"

const char *due_why(const struct cm_cert *cert, const char *request_pem,
                    const char *const *names, size_t n, int64_t now)
{
    struct cm_cert_look look;

    if (cert == NULL) {
        return "there is none yet";
    }
    if (!cm_cert_answers(cert, request_pem)) {
        return "the key is another";
    }
    for (size_t i = 0; i < n; i++) {
        if (!cm_cert_named(cert, names[i])) {
            return "a name is missing";
        }
    }
    struct cm_roots *nobody = cm_roots_load("");
    cm_cert_look(cert, names[0], nobody, &look);
    cm_roots_free(&nobody);
    return look.not_after - now <= (look.not_after - look.not_before) / 3
               ? "a third of its life is left"
               : NULL;
}
