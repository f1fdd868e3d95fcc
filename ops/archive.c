#include "archive.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "common/mem.h"
#include "hash.h"

#define FORMAT       1
#define ABOUT        "BACKUP"
#define MANIFEST     "MANIFEST"
#define MANIFEST_MAX (1u << 30)
#define ABOUT_MAX    4096

static void add_line(struct cm_buf *manifest, const char *hash, int64_t size,
                     const char *path)
{
    cm_buf_fmt(manifest, "%s %" PRId64 " %s\n", hash, size, path);
}

/* ---- what is in it ---- */

static int parse_about(const char *data, size_t len, struct op_archive_about *about,
                       struct cm_err *err)
{
    json_t *o = len <= ABOUT_MAX ? json_loadb(data, len, 0, NULL) : NULL;
    const char *domain = json_string_value(json_object_get(o, "domain"));
    const char *version = json_string_value(json_object_get(o, "version"));
    json_int_t format = json_integer_value(json_object_get(o, "format"));
    int rc = 0;

    if (domain == NULL || version == NULL || format < 1 ||
        strlen(domain) >= sizeof(about->domain)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "it is no backup of chatops");
    } else if (format > FORMAT) {
        rc = cm_err_set(err, CM_ERR_REFUSE,
                        "it was made by a newer chatops (%.60s); take that one",
                        version);
    } else {
        snprintf(about->domain, sizeof(about->domain), "%s", domain);
        snprintf(about->version, sizeof(about->version), "%.60s", version);
        about->made_s = json_integer_value(json_object_get(o, "made"));
        about->mail = json_is_true(json_object_get(o, "mail"));
    }
    json_decref(o);
    return rc;
}

static bool is_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && path[n] == '/';
}

struct look {
    struct op_archive *a;
    struct cm_tar tar;
    struct cm_buf manifest;      /* as it should be */
    const char *content;         /* of the entry under way */
    size_t header;               /* where its header begins */
    struct op_archive_part told; /* MANIFEST */
    bool has_about;
    /* Where the parts begin; 0: none yet. */
    size_t at_database, at_store, at_mail, at_manifest;
};

static void note_part(struct look *l, const char *path)
{
    const struct {
        bool is;
        size_t *at;
    } parts[] = {{strcmp(path, "roles") == 0, &l->at_database},
                 {is_in(path, "store"), &l->at_store},
                 {is_in(path, "mail"), &l->at_mail},
                 {strcmp(path, MANIFEST) == 0, &l->at_manifest}};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i].is && *parts[i].at == 0) {
            *parts[i].at = l->header;
        }
    }
    l->a->mailboxes += l->tar.entry.type == CM_TAR_DIR && is_in(path, "mail") &&
                       strchr(path + strlen("mail/"), '/') == NULL;
}

static void note_content(struct look *l, const char *path)
{
    struct op_archive *a = l->a;
    const struct {
        const char *path;
        struct op_archive_part *part;
    } wanted[] = {{OP_ARCHIVE_INI, &a->ini},
                  {OP_ARCHIVE_HOSTS, &a->hosts},
                  {OP_ARCHIVE_NUMBER, &a->numbers},
                  {OP_ARCHIVE_DNSKEY, &a->dns_key},
                  {MANIFEST, &l->told}};

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (strcmp(path, wanted[i].path) == 0) {
            *wanted[i].part =
                (struct op_archive_part){l->content, (size_t)l->tar.entry.size};
        }
    }
}

static int end_entry(struct look *l, struct cm_err *err)
{
    const struct cm_tar_entry *e = &l->tar.entry;
    size_t len = (size_t)e->size;
    char hash[OP_HASH_TEXT];

    if (e->type != CM_TAR_FILE) {
        return 0;
    }
    l->content = l->content != NULL ? l->content : "";
    note_content(l, e->path);
    if (!l->has_about) {
        l->has_about = true;
        if (strcmp(e->path, ABOUT) != 0) {
            return cm_err_set(err, CM_ERR_REFUSE, "it is no backup of chatops");
        }
        if (parse_about(l->content, len, &l->a->about, err) != 0) {
            return -1;
        }
    }
    if (strcmp(e->path, MANIFEST) != 0) {
        op_hash(l->content, len, hash);
        add_line(&l->manifest, hash, e->size, e->path);
        l->a->files++;
    }
    return 0;
}

static int on_event(struct look *l, enum cm_tar_event event, const char *piece,
                    size_t at, struct cm_err *err)
{
    switch (event) {
    case CM_TAR_ENTRY:
        l->content = NULL;
        note_part(l, l->tar.entry.path);
        return l->at_manifest == 0 || l->at_manifest == l->header
                   ? 0
                   : cm_err_set(err, CM_ERR_REFUSE, "something was put behind its end");
    case CM_TAR_DATA: /* all of it: the whole archive was pushed */
        l->content = piece;
        return 0;
    case CM_TAR_DONE:
        l->header = at + cm_tar_padding((int64_t)at);
        return end_entry(l, err);
    case CM_TAR_MORE:
        return cm_err_set(err, CM_ERR_REFUSE, "it is cut off");
    case CM_TAR_END:
        break;
    }
    return 0;
}

static struct op_archive_part cut(const struct look *l, size_t from, size_t to)
{
    return from != 0 && to > from
               ? (struct op_archive_part){l->a->map + from, to - from}
               : (struct op_archive_part){NULL, 0};
}

static int judge(struct look *l, struct cm_err *err)
{
    char hash[OP_HASH_TEXT];
    size_t to_store = l->at_mail != 0 ? l->at_mail : l->at_manifest;

    if (l->told.data == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "it has no list of what it holds");
    }
    if (l->told.len != l->manifest.len ||
        memcmp(l->told.data, l->manifest.data, l->manifest.len) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "it is damaged: its files are not those of its list");
    }
    if (l->at_database == 0 || l->at_store <= l->at_database ||
        l->a->ini.data == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "it is no backup of chatops");
    }
    op_hash(l->told.data, l->told.len, hash);
    snprintf(l->a->id, sizeof(l->a->id), "%.32s", hash);
    l->a->database = cut(l, l->at_database, l->at_store);
    l->a->store = cut(l, l->at_store, to_store);
    l->a->mail = cut(l, l->at_mail, l->at_manifest);
    return 0;
}

static int look_through(struct op_archive *a, struct cm_err *err)
{
    struct look l = {.a = a};
    enum cm_tar_event event = CM_TAR_MORE;
    const char *at = a->map, *piece = NULL;
    size_t left = a->len, n = 0;
    int rc;

    cm_tar_init(&l.tar);
    cm_buf_init(&l.manifest, MANIFEST_MAX);
    do {
        rc = cm_tar_next(&l.tar, &at, &left, &event, &piece, &n, err);
        if (rc == 0) {
            rc = on_event(&l, event, piece, (size_t)(at - a->map), err);
        }
    } while (rc == 0 && event != CM_TAR_END);
    if (rc == 0) {
        rc = judge(&l, err);
    }
    cm_buf_clear(&l.manifest);
    return rc;
}

int op_archive_read(int fd, const char *name, struct op_archive *a, struct cm_err *err)
{
    struct stat st;
    void *map = MAP_FAILED;

    *a = (struct op_archive){.len = 0};
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (map == MAP_FAILED) {
        return cm_err_set(err, CM_ERR_WORLD, "%s is empty, or no file", name);
    }
    a->map = map;
    a->len = (size_t)st.st_size;
    if (look_through(a, err) != 0) {
        op_archive_close(a);
        cm_err_prefix(err, "%s cannot be used", name);
        err->kind = CM_ERR_WORLD;
        return -1;
    }
    return 0;
}

int op_archive_open(const char *path, struct op_archive *a, struct cm_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    *a = (struct op_archive){.len = 0};
    if (fd < 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: %s", path, strerror(errno));
    }
    int rc = op_archive_read(fd, path, a, err);
    close(fd);
    return rc;
}

void op_archive_close(struct op_archive *a)
{
    if (a->map != NULL) {
        munmap((void *)(uintptr_t)a->map, a->len);
    }
    *a = (struct op_archive){.len = 0};
}
