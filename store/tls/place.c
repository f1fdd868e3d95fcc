#include "place.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

static char *dir_of(const char *path)
{
    return cm_strndup(path, (size_t)(strrchr(path, '/') - path));
}

/* The link lies beside the pairs, or as acmetool's does one directory below: then an
 * upstream relay's certificate stays where it was. */
static void place_live(struct tls_place *p, const char *root)
{
    bool acme = p->conf->tls_mode == CM_TLS_ACME;

    p->live_cert = cm_asprintf("%s%s", root, p->conf->tls_use_cert);
    p->live_key = cm_asprintf("%s%s", root, p->conf->tls_use_key);
    p->live = dir_of(p->live_cert);
    p->pairs =
        cm_asprintf("%s%s", root, acme ? "/var/lib/acme/certs" : CM_TLS_DIR "/certs");
}

void tls_place_init(struct tls_place *p, const struct cm_conf *conf, const char *root)
{
    bool acme = conf->tls_mode == CM_TLS_ACME;
    const char *d = conf->mail_domain;

    *p = (struct tls_place){.conf = conf};
    place_live(p, root);
    p->source_cert = cm_asprintf("%s%s", root, acme ? TLS_ACME_CERT : conf->tls_cert);
    p->source_key =
        acme ? cm_strdup(p->live_key) : cm_asprintf("%s%s", root, conf->tls_key);
    p->request = cm_asprintf("%s" CM_TLS_DIR "/request.csr", root);
    p->state = cm_asprintf("%s" CM_TLS_DIR "/state.json", root);
    p->owed = cm_asprintf("%s" CM_TLS_DIR "/reload-owed", root);
    p->names[p->name_count++] = cm_strdup(d);
    if (acme) {
        p->names[p->name_count++] = cm_asprintf("mta-sts.%s", d);
        p->names[p->name_count++] = cm_asprintf("www.%s", d);
    }
}

void tls_place_clear(struct tls_place *p)
{
    free(p->source_cert);
    free(p->source_key);
    free(p->live);
    free(p->pairs);
    free(p->live_cert);
    free(p->live_key);
    free(p->request);
    free(p->state);
    free(p->owed);
    for (size_t i = 0; i < p->name_count; i++) {
        free(p->names[i]);
    }
    *p = (struct tls_place){.conf = NULL};
}
