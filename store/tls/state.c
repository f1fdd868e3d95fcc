#include "state.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"

static void add_look(json_t *o, bool acme, const struct cm_cert_look *look)
{
    json_object_set_new(o, "temporary", json_boolean(acme && look->self_signed));
    json_object_set_new(o, "trusted", json_boolean(look->trusted));
    json_object_set_new(o, "subject", json_string(look->subject));
    json_object_set_new(o, "issuer", json_string(look->issuer));
    json_object_set_new(o, "serial", json_string(look->serial));
    json_object_set_new(o, "not_after", json_integer((json_int_t)look->not_after));
    json_object_set_new(o, "sha256", json_string(look->print));
}

char *tls_state_text(const struct tls_place *place, const struct tls_pair *now,
                     const char *problem, const struct cm_roots *roots)
{
    bool acme = place->conf->tls_mode == CM_TLS_ACME;
    struct cm_cert_look look;
    struct cm_cert *cert;
    struct cm_err ignored;
    json_t *o = json_object(), *said = json_string(problem);

    json_object_set_new(o, "mode", json_string(acme ? "acme" : "external"));
    json_object_set_new(o, "at", json_integer((json_int_t)(cm_now_wall_ms() / 1000)));
    json_object_set_new(o, "problem",
                        said != NULL ? said : json_string("unreadable (not UTF-8)"));
    if (now != NULL && cm_cert_parse(now->cert, now->cert_len, &cert, &ignored) == 0) {
        cm_cert_look(cert, place->conf->mail_domain, roots, &look);
        add_look(o, acme, &look);
        cm_cert_free(&cert);
    }
    char *text = json_dumps(o, JSON_COMPACT);
    cm_assert(text != NULL);
    json_decref(o);
    return text;
}

int tls_state_write(const struct tls_place *place, const struct tls_pair *now,
                    const char *problem, const struct cm_roots *roots,
                    struct cm_err *err)
{
    char *text = tls_state_text(place, now, problem, roots);
    char *line = cm_asprintf("%s\n", text);
    char *dir =
        cm_strndup(place->state, (size_t)(strrchr(place->state, '/') - place->state));
    int rc = cm_file_mkdirs(dir, 0755, err);

    if (rc == 0) {
        rc = cm_file_replace(place->state, line, strlen(line), 0644, err);
    }
    free(dir);
    free(line);
    free(text);
    return rc;
}
