#include "pair.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"

/* ---- reading ---- */

void tls_pair_clear(struct tls_pair *pair)
{
    free(pair->cert);
    cm_wipe_str(&pair->key);
    *pair = (struct tls_pair){.cert = NULL};
}

int tls_pair_read(const char *cert, const char *key, struct tls_pair *pair_r,
                  struct cm_err *err)
{
    struct tls_pair p = {.cert = NULL};
    int rc = cm_file_read(cert, CM_CERT_PEM_MAX, &p.cert, &p.cert_len, err);
    const char *missing = cert;

    if (rc == 1) {
        missing = key;
        rc = cm_file_read(key, CM_CERT_PEM_MAX, &p.key, &p.key_len, err);
    }
    if (rc == 0) {
        (void)cm_err_set(err, CM_ERR_WORLD,
                         "%s is not there; put both files on the store, or take "
                         "tls_external_cert_and_key out",
                         missing);
    }
    if (rc != 1) {
        tls_pair_clear(&p);
        return rc;
    }
    *pair_r = p;
    return 1;
}

bool tls_pair_same(const struct tls_pair *a, const struct tls_pair *b)
{
    return a->cert_len == b->cert_len && a->key_len == b->key_len &&
           memcmp(a->cert, b->cert, a->cert_len) == 0 &&
           memcmp(a->key, b->key, a->key_len) == 0;
}

/* ---- judging ---- */

static void day(int64_t t, char out[32])
{
    time_t when = (time_t)t;
    struct tm tm;

    strftime(out, 32, "%Y-%m-%d %H:%M UTC", gmtime_r(&when, &tm));
}

static int check_days(const struct cm_cert_look *look, struct cm_err *err)
{
    int64_t now = cm_now_wall_ms() / 1000;
    char when[32];

    if (look->not_after <= now) {
        day(look->not_after, when);
        return cm_err_set(err, CM_ERR_REFUSE, "it expired on %s", when);
    }
    if (look->not_before > now) {
        day(look->not_before, when);
        return cm_err_set(err, CM_ERR_REFUSE, "it is valid from %s on only", when);
    }
    return 0;
}

static bool trusted(const struct tls_pair *pair, const char *name,
                    const struct cm_roots *roots)
{
    struct cm_cert_look look = {.trusted = false};
    struct cm_cert *cert;
    struct cm_err ignored;

    if (pair != NULL &&
        cm_cert_parse(pair->cert, pair->cert_len, &cert, &ignored) == 0) {
        cm_cert_look(cert, name, roots, &look);
        cm_cert_free(&cert);
    }
    return look.trusted && look.named;
}

int tls_pair_judge(const struct tls_pair *pair, const struct tls_pair *now,
                   const char *name, const struct cm_roots *roots, struct cm_err *err)
{
    struct cm_cert *cert;
    struct cm_cert_look look;

    if (cm_cert_parse(pair->cert, pair->cert_len, &cert, err) != 0) {
        return -1;
    }
    cm_cert_look(cert, name, roots, &look);
    int rc = cm_cert_fits(cert, pair->key, pair->key_len, err);
    if (rc == 0) {
        rc = cm_cert_chained(cert, err);
    }
    if (rc == 0) {
        rc = check_days(&look, err);
    }
    if (rc == 0 && !look.named) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "it is for %s, not for %s", look.subject,
                        name);
    }
    if (rc == 0 && !look.trusted && trusted(now, name, roots)) {
        rc = cm_err_set(err, CM_ERR_REFUSE,
                        "nobody will trust it (%s), and the present one is good",
                        look.untrusted_why);
    }
    cm_cert_free(&cert);
    return rc;
}

/* ---- putting ---- */

static int put_file(const char *dir, const char *name, const char *data, size_t len,
                    mode_t mode, struct cm_err *err)
{
    char *path = cm_asprintf("%s/%s", dir, name);
    int rc = cm_file_replace(path, data, len, mode, err);

    free(path);
    return rc;
}

/* Named by the time, so that the oldest are known. */
static int make_dir(const struct tls_place *place, char **dir_r, struct cm_err *err)
{
    if (cm_file_mkdirs(place->pairs, 0755, err) != 0) {
        return -1;
    }
    char *dir = cm_asprintf("%s/portico-%013lld-XXXXXX", place->pairs,
                            (long long)cm_now_wall_ms());
    if (mkdtemp(dir) == NULL || chmod(dir, 0755) != 0) {
        int e = errno;
        free(dir);
        return cm_err_set(err, CM_ERR_WORLD, "%s: %s", place->pairs, strerror(e));
    }
    *dir_r = dir;
    return 0;
}

/* A directory in its place, as by hand, changes places with the link and stays beside
 * it. */
static int swap_link(const char *link, const char *target, struct cm_err *err)
{
    char *fresh = cm_asprintf("%s.new", link), *parent = cm_strdup(link);
    int rc = 0;

    *strrchr(parent, '/') = '\0';
    if (cm_file_mkdirs(parent, 0755, err) != 0) {
        rc = -1;
    } else if ((unlink(fresh) != 0 && errno != ENOENT) || symlink(target, fresh) != 0 ||
               (rename(fresh, link) != 0 &&
                renameat2(AT_FDCWD, fresh, AT_FDCWD, link, RENAME_EXCHANGE) != 0)) {
        rc = cm_err_set(err, CM_ERR_WORLD, "%s: %s", link, strerror(errno));
    }
    int fd = rc == 0 ? open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd); /* the files are safe; at worst the old pair is in use */
        close(fd);
    }
    free(parent);
    free(fresh);
    return rc;
}

static void remove_pair(const char *pairs, const char *name)
{
    static const char *const files[] = {"/fullchain", "/privkey", ""};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *path = cm_asprintf("%s/%s%s", pairs, name, files[i]);
        (void)remove(path);
        free(path);
    }
}

static int is_ours(const struct dirent *e)
{
    return strncmp(e->d_name, "portico-", 8) == 0;
}

/* What acmetool left is not ours to remove. */
static void prune(const struct tls_place *place)
{
    struct dirent **names;
    int n = scandir(place->pairs, &names, is_ours, alphasort);

    for (int i = 0; i < n; i++) {
        if (i < n - TLS_PAIRS_KEPT) {
            remove_pair(place->pairs, names[i]->d_name);
        }
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
}

int tls_pair_put(const struct tls_place *place, const struct tls_pair *pair,
                 struct cm_err *err)
{
    char *dir;

    if (make_dir(place, &dir, err) != 0) {
        return -1;
    }
    const char *name = strrchr(dir, '/') + 1;
    bool acme = place->conf->tls_mode == CM_TLS_ACME;
    char *target = cm_asprintf("%scerts/%s", acme ? "../" : "", name);
    int rc = put_file(dir, "privkey", pair->key, pair->key_len, 0600, err);
    if (rc == 0) {
        rc = put_file(dir, "fullchain", pair->cert, pair->cert_len, 0644, err);
    }
    if (rc == 0) {
        rc = swap_link(place->live, target, err);
    }
    if (rc == 0) {
        prune(place);
    } else {
        remove_pair(place->pairs, name);
    }
    free(target);
    free(dir);
    return rc;
}
