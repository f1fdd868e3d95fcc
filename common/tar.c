#include "common/tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG_NAME 'L'
#define NAME_LEN  100

/* Offsets and lengths of the header's fields (POSIX ustar). */
enum {
    AT_NAME = 0,
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_MTIME = 136,
    AT_SUM = 148,
    AT_TYPE = 156,
    AT_LINK = 157,
    AT_MAGIC = 257,
    AT_USER = 265,
    AT_GROUP = 297,
    AT_PREFIX = 345,
    LEN_PREFIX = 155,
};

enum { HEADER, LONG, DATA, PADDING, ENDED };

bool cm_tar_path_ok(const char *path)
{
    size_t len = strlen(path);

    if (len == 0 || len >= CM_TAR_PATH) {
        return false;
    }
    for (const char *p = path; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            return false;
        }
    }
    for (const char *part = path;;) {
        size_t n = strcspn(part, "/");
        if (n == 0 || (n == 1 && part[0] == '.') ||
            (n == 2 && part[0] == '.' && part[1] == '.')) {
            return false;
        }
        if (part[n] == '\0') {
            return true;
        }
        part += n + 1;
    }
}

static unsigned sum_of(const unsigned char block[CM_TAR_BLOCK])
{
    unsigned sum = 0;

    for (size_t i = 0; i < CM_TAR_BLOCK; i++) {
        sum += i >= AT_SUM && i < AT_SUM + 8 ? ' ' : block[i];
    }
    return sum;
}

/* ---- writing ---- */

size_t cm_tar_padding(int64_t size)
{
    return (size_t)((CM_TAR_BLOCK - size % CM_TAR_BLOCK) % CM_TAR_BLOCK);
}

/* Padded with zeros already; the field need not end in one. */
static void put_text(unsigned char *at, const char *text, size_t n)
{
    memcpy(at, text, strnlen(text, n));
}

/* width octal digits and a NUL. */
static void put_octal(unsigned char *at, uint64_t value, int width)
{
    for (int i = width; i-- > 0; value >>= 3) {
        at[i] = (unsigned char)('0' + (value & 7));
    }
}

static void put_block(struct cm_buf *out, const struct cm_tar_entry *e, int type,
                      const char *name, const char *prefix, size_t prefix_len,
                      uint64_t size)
{
    unsigned char b[CM_TAR_BLOCK] = {0};

    put_text(b + AT_NAME, name, NAME_LEN);
    put_text(b + AT_PREFIX, prefix, prefix_len);
    put_octal(b + AT_MODE, (uint64_t)e->mode & 07777, 7);
    put_octal(b + AT_UID, 0, 7);
    put_octal(b + AT_GID, 0, 7);
    put_octal(b + AT_SIZE, size, 11);
    put_octal(b + AT_MTIME, e->mtime_s > 0 ? (uint64_t)e->mtime_s : 0, 11);
    b[AT_TYPE] = (unsigned char)type;
    put_text(b + AT_LINK, e->link, sizeof(e->link) - 1);
    memcpy(b + AT_MAGIC,
           "ustar\0"
           "00",
           8);
    put_text(b + AT_USER, e->user, sizeof(e->user) - 1);
    put_text(b + AT_GROUP, e->group, sizeof(e->group) - 1);
    put_octal(b + AT_SUM, sum_of(b), 6);
    b[AT_SUM + 7] = ' ';
    cm_buf_add(out, b, sizeof(b));
}

/* Where the path may be cut so that both parts fit; NULL: nowhere. */
static const char *cut_of(const char *path)
{
    size_t len = strlen(path);

    for (const char *p = path; (p = strchr(p, '/')) != NULL; p++) {
        if (p - path <= LEN_PREFIX && len - (size_t)(p - path) - 1 <= NAME_LEN) {
            return p;
        }
    }
    return NULL;
}

static void put_long_name(struct cm_buf *out, const struct cm_tar_entry *e)
{
    static const char zeros[CM_TAR_BLOCK];
    size_t len = strlen(e->path) + 1;

    put_block(out, &(struct cm_tar_entry){.mode = 0}, LONG_NAME, "././@LongLink", "", 0,
              len);
    cm_buf_add(out, e->path, len);
    cm_buf_add(out, zeros, cm_tar_padding((int64_t)len));
}

int cm_tar_put(struct cm_buf *out, const struct cm_tar_entry *e, struct cm_err *err)
{
    const char *cut;

    if (!cm_tar_path_ok(e->path)) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%.200s: such a name does not go into an archive", e->path);
    }
    if (e->size < 0 || e->size > CM_TAR_SIZE_MAX ||
        (e->type != CM_TAR_FILE && e->size != 0)) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s: too large for an archive (%lld bytes)", e->path,
                          (long long)e->size);
    }
    if (strlen(e->path) <= NAME_LEN) {
        put_block(out, e, e->type, e->path, "", 0, (uint64_t)e->size);
    } else if ((cut = cut_of(e->path)) != NULL) {
        put_block(out, e, e->type, cut + 1, e->path, (size_t)(cut - e->path),
                  (uint64_t)e->size);
    } else {
        put_long_name(out, e);
        put_block(out, e, e->type, e->path, "", 0, (uint64_t)e->size);
    }
    return 0;
}

/* ---- reading ---- */

void cm_tar_init(struct cm_tar *tar)
{
    *tar = (struct cm_tar){.state = HEADER};
}

static int broken(struct cm_err *err, const char *why)
{
    return cm_err_set(err, CM_ERR_REFUSE, "%s", why);
}

/* Octal digits, then blanks or NULs. */
static int get_octal(const unsigned char *at, size_t width, int64_t *out)
{
    int64_t value = 0;
    size_t i = 0;

    while (i < width && at[i] == ' ') {
        i++;
    }
    for (; i < width && at[i] >= '0' && at[i] <= '7'; i++) {
        value = value << 3 | (at[i] - '0'); /* 12 digits at most */
    }
    for (; i < width; i++) {
        if (at[i] != ' ' && at[i] != '\0') {
            return -1;
        }
    }
    *out = value;
    return 0;
}

static void get_text(const unsigned char *at, size_t width, char *out, size_t size)
{
    snprintf(out, size, "%.*s", (int)width, (const char *)at);
}

static void get_path(struct cm_tar *t)
{
    char name[NAME_LEN + 1], prefix[LEN_PREFIX + 1];
    struct cm_tar_entry *e = &t->entry;

    get_text(t->block + AT_NAME, NAME_LEN, name, sizeof(name));
    get_text(t->block + AT_PREFIX, LEN_PREFIX, prefix, sizeof(prefix));
    if (t->name[0] != '\0') {
        snprintf(e->path, sizeof(e->path), "%s", t->name);
    } else {
        snprintf(e->path, sizeof(e->path), "%s%s%s", prefix,
                 prefix[0] != '\0' ? "/" : "", name);
    }
    t->name[0] = '\0';
    size_t len = strlen(e->path);
    if (len > 1 && e->path[len - 1] == '/') {
        e->path[len - 1] = '\0';
    }
}

static bool is_zero(const unsigned char block[CM_TAR_BLOCK])
{
    for (size_t i = 0; i < CM_TAR_BLOCK; i++) {
        if (block[i] != 0) {
            return false;
        }
    }
    return true;
}

static int begin_long_name(struct cm_tar *t, int64_t size, struct cm_err *err)
{
    if (size < 2 || size > CM_TAR_PATH || t->name[0] != '\0') {
        return broken(err, "a name in it is too long");
    }
    t->left = size;
    t->padding = cm_tar_padding(size);
    t->name_len = 0;
    t->state = LONG;
    return 0;
}

/* 1 an entry begins, 0 it was none, -1. */
static int take_header(struct cm_tar *t, struct cm_err *err)
{
    int64_t size, mode, mtime, sum;
    const unsigned char *b = t->block;
    struct cm_tar_entry *e = &t->entry;

    if (is_zero(b)) {
        t->state = ++t->zeros == 2 ? ENDED : HEADER;
        return 0;
    }
    if (t->zeros > 0 || memcmp(b + AT_MAGIC, "ustar", 5) != 0 ||
        get_octal(b + AT_SUM, 8, &sum) != 0 || sum != sum_of(b) ||
        get_octal(b + AT_SIZE, 12, &size) != 0 ||
        get_octal(b + AT_MODE, 8, &mode) != 0 ||
        get_octal(b + AT_MTIME, 12, &mtime) != 0) {
        return broken(err, "it is damaged, or no tar archive");
    }
    int type = b[AT_TYPE] == '\0' ? CM_TAR_FILE : b[AT_TYPE];
    if (type == LONG_NAME) {
        return begin_long_name(t, size, err);
    }
    if ((type != CM_TAR_FILE && type != CM_TAR_LINK && type != CM_TAR_DIR) ||
        (type != CM_TAR_FILE && size != 0)) {
        return broken(err, "it has a kind of file that does not belong there");
    }
    *e = (struct cm_tar_entry){.type = (enum cm_tar_type)type,
                               .mode = (mode_t)(mode & 07777),
                               .mtime_s = mtime,
                               .size = size};
    get_path(t);
    get_text(b + AT_LINK, 100, e->link, sizeof(e->link));
    get_text(b + AT_USER, 32, e->user, sizeof(e->user));
    get_text(b + AT_GROUP, 32, e->group, sizeof(e->group));
    if (!cm_tar_path_ok(e->path)) {
        return broken(err, "it has a path that leads elsewhere");
    }
    t->left = size;
    t->padding = cm_tar_padding(size);
    t->state = DATA;
    return 1;
}

/* Collects a block; true when it is whole. */
static bool fill_block(struct cm_tar *t, const char **data, size_t *n)
{
    size_t want = CM_TAR_BLOCK - t->have, take = *n < want ? *n : want;

    memcpy(t->block + t->have, *data, take);
    t->have += take;
    *data += take;
    *n -= take;
    if (t->have < CM_TAR_BLOCK) {
        return false;
    }
    t->have = 0;
    return true;
}

static void skip(const char **data, size_t *n, size_t *padding)
{
    size_t take = *n < *padding ? *n : *padding;

    *data += take;
    *n -= take;
    *padding -= take;
}

/* The long name, of which the NUL is the last byte. */
static int take_long_name(struct cm_tar *t, const char **data, size_t *n,
                          struct cm_err *err)
{
    size_t take = *n < (size_t)t->left ? *n : (size_t)t->left;

    memcpy(t->name + t->name_len, *data, take);
    t->name_len += take;
    t->left -= (int64_t)take;
    *data += take;
    *n -= take;
    if (t->left == 0) {
        if (t->name[t->name_len - 1] != '\0' || t->name[0] == '\0') {
            return broken(err, "a name in it is damaged");
        }
        skip(data, n, &t->padding);
        t->state = t->padding == 0 ? HEADER : LONG;
    }
    return 0;
}

static bool take_piece(struct cm_tar *t, const char **data, size_t *n,
                       const char **piece, size_t *piece_len)
{
    if (t->left == 0 || *n == 0) {
        return false;
    }
    *piece = *data;
    *piece_len = (uint64_t)t->left < *n ? (size_t)t->left : *n;
    *data += *piece_len;
    *n -= *piece_len;
    t->left -= (int64_t)*piece_len;
    return true;
}

int cm_tar_next(struct cm_tar *t, const char **data, size_t *n,
                enum cm_tar_event *event_r, const char **piece, size_t *piece_len,
                struct cm_err *err)
{
    int rc;

    *event_r = CM_TAR_MORE;
    while (t->state != ENDED) {
        if (t->state == DATA && t->left == 0) {
            t->state = PADDING;
            *event_r = CM_TAR_DONE;
            return 0;
        }
        if (*n == 0) {
            return 0;
        }
        if (t->state == DATA) {
            *event_r =
                take_piece(t, data, n, piece, piece_len) ? CM_TAR_DATA : CM_TAR_MORE;
            return 0;
        }
        if (t->state == PADDING) {
            skip(data, n, &t->padding);
            t->state = t->padding == 0 ? HEADER : PADDING;
        } else if (t->state == LONG) {
            if (take_long_name(t, data, n, err) != 0) {
                return -1;
            }
        } else if (fill_block(t, data, n)) {
            rc = take_header(t, err);
            if (rc != 0) {
                *event_r = CM_TAR_ENTRY;
                return rc > 0 ? 0 : -1;
            }
        }
    }
    *event_r = CM_TAR_END;
    return 0;
}
