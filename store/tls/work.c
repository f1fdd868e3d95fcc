#include "work.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"
#include "pair.h"
#include "state.h"

static void say(struct cm_buf *said, const char *text)
{
    cm_buf_fmt(said, "%s%s", said->len > 0 ? "; " : "", text);
}

static int write_file(const char *path, const char *text, mode_t mode,
                      struct cm_err *err)
{
    char *dir = cm_strndup(path, (size_t)(strrchr(path, '/') - path));
    int rc = cm_file_mkdirs(dir, 0755, err);

    free(dir);
    return rc == 0 ? cm_file_replace(path, text, strlen(text), mode, err) : -1;
}

/* ---- prepare ---- */

static bool fits(const struct tls_pair *pair)
{
    struct cm_cert *cert;
    struct cm_err ignored;

    if (cm_cert_parse(pair->cert, pair->cert_len, &cert, &ignored) != 0) {
        return false;
    }
    bool good = cm_cert_fits(cert, pair->key, pair->key_len, &ignored) == 0;
    cm_cert_free(&cert);
    return good;
}

/* The key in use, whoever made it: clients may know it. NULL: there is none. */
static int present_key(const struct tls_place *place, char **key_r, struct cm_err *err)
{
    *key_r = NULL;
    return cm_file_read(place->live_key, CM_CERT_PEM_MAX, key_r, NULL, err) < 0 ? -1
                                                                                : 0;
}

static int make_temporary(const struct tls_place *place, char **key, struct cm_err *err)
{
    const char *const *names = (const char *const *)place->names;
    struct tls_pair pair = {.cert = NULL};

    if (*key == NULL) {
        *key = cm_cert_new_key();
    }
    if (cm_cert_self(*key, names, place->name_count, TLS_TEMPORARY_DAYS, &pair.cert,
                     err) != 0) {
        return -1;
    }
    pair.cert_len = strlen(pair.cert);
    pair.key = cm_strdup(*key);
    pair.key_len = strlen(pair.key);
    int rc = tls_pair_put(place, &pair, err);
    tls_pair_clear(&pair);
    return rc;
}

static int prepare_pair(const struct tls_place *place, bool dry, char **key,
                        struct cm_buf *said, struct cm_err *err)
{
    struct tls_pair now;
    int rc = tls_pair_read(place->live_cert, place->live_key, &now, err);

    if (rc == 1) {
        bool good = fits(&now);
        tls_pair_clear(&now);
        if (good) {
            return 0;
        }
    }
    if (rc < 0) {
        return -1;
    }
    say(said, *key == NULL ? "a key and a temporary certificate"
                           : "a temporary certificate for the key that is there");
    return dry ? 0 : make_temporary(place, key, err);
}

static int prepare_request(const struct tls_place *place, bool dry, const char *key,
                           struct cm_buf *said, struct cm_err *err)
{
    const char *const *names = (const char *const *)place->names;
    char *have = NULL, *want;
    int rc = cm_file_read(place->request, CM_CERT_PEM_MAX, &have, NULL, err);

    if (rc < 0) {
        return -1;
    }
    bool good = rc == 1 && key != NULL &&
                cm_cert_request_fits(have, key, names, place->name_count);
    free(have);
    if (good) {
        return 0;
    }
    say(said, "a request to the CA");
    if (dry) {
        return 0;
    }
    if (cm_cert_request(key, names, place->name_count, &want, err) != 0) {
        return -1;
    }
    rc = write_file(place->request, want, 0644, err);
    free(want);
    return rc;
}

int tls_prepare(const struct tls_work *work, bool dry, struct cm_buf *said,
                struct cm_err *err)
{
    char *key = NULL;
    int rc = present_key(work->place, &key, err);

    if (rc == 0) {
        rc = prepare_pair(work->place, dry, &key, said, err);
    }
    if (rc == 0) {
        rc = prepare_request(work->place, dry, key, said, err);
    }
    cm_wipe_str(&key);
    return rc;
}

/* ---- install ---- */

/* Read and judged, more than once when it is no good: whoever renews the files writes
 * them one after the other. 1 good, 0 nothing there yet, -1. */
static int read_source(const struct tls_work *work, const struct tls_pair *now,
                       struct tls_pair *pair_r, struct cm_err *err)
{
    const struct tls_place *p = work->place;
    int rc = -1;

    for (int i = 0; i < TLS_SETTLE_TRIES; i++) {
        if (i > 0) {
            usleep((useconds_t)work->settle_ms * 1000);
        }
        rc = tls_pair_read(p->source_cert, p->source_key, pair_r, err);
        if (rc == 0 && p->conf->tls_mode == CM_TLS_ACME) {
            return 0;
        }
        if (rc == 1 &&
            tls_pair_judge(pair_r, now, p->conf->mail_domain, work->roots, err) == 0) {
            return 1;
        }
        if (rc == 1) {
            tls_pair_clear(pair_r);
            (void)cm_err_prefix(err, "%s", p->source_cert);
        }
    }
    return -1;
}

static int tell(const struct tls_work *work, struct cm_err *err)
{
    if (work->reload(work->ctx, err) != 0) {
        return -1;
    }
    (void)unlink(work->place->owed);
    return 0;
}

/* The mark comes first: whatever ends this program, the next run tells the daemons. */
static int take(const struct tls_work *work, const struct tls_pair *pair,
                struct cm_err *err)
{
    if (write_file(work->place->owed, "", 0644, err) != 0 ||
        tls_pair_put(work->place, pair, err) != 0) {
        return -1;
    }
    return tell(work, err);
}

int tls_install(const struct tls_work *work, bool dry, struct cm_buf *said,
                struct cm_err *err)
{
    const struct tls_place *p = work->place;
    struct tls_pair now = {.cert = NULL}, pair = {.cert = NULL};
    int have = tls_pair_read(p->live_cert, p->live_key, &now, err);
    int rc = have < 0 ? -1 : read_source(work, have == 1 ? &now : NULL, &pair, err);

    if (rc == 1 && have == 1 && tls_pair_same(&pair, &now)) {
        rc = 0;
    }
    if (rc == 1) {
        say(said, have == 1 ? "a new certificate" : "the first certificate");
        rc = dry ? 0 : take(work, &pair, err);
    } else if (rc == 0 && !dry && access(p->owed, F_OK) == 0) {
        say(said, "daemons told once more");
        rc = tell(work, err);
    }
    tls_pair_clear(&now);
    tls_pair_clear(&pair);
    return rc;
}

int tls_report(const struct tls_work *work, const struct cm_err *problem,
               struct cm_err *err)
{
    const struct tls_place *p = work->place;
    struct tls_pair now;
    int have = tls_pair_read(p->live_cert, p->live_key, &now, err);

    if (have < 0) {
        return -1;
    }
    int rc = tls_state_write(p, have == 1 ? &now : NULL,
                             problem != NULL ? problem->text : "", work->roots, err);
    if (have == 1) {
        tls_pair_clear(&now);
    }
    return rc;
}
