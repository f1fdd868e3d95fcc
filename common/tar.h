/* tar: archives as POSIX ustar with GNU's long names, written header by header and read
 * by pushing bytes and taking events. What strangers could put into one and we never
 * do (devices, hard links, absolute paths, "..", control characters) is refused, so an
 * entry that was given out may be made below a directory. */
#ifndef CM_TAR_H
#define CM_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

#define CM_TAR_BLOCK    512
#define CM_TAR_PATH     1024
#define CM_TAR_SIZE_MAX ((INT64_C(1) << 33) - 1) /* of one file: 11 octal digits */

enum cm_tar_type { CM_TAR_FILE = '0', CM_TAR_LINK = '2', CM_TAR_DIR = '5' };

struct cm_tar_entry {
    enum cm_tar_type type;
    char path[CM_TAR_PATH]; /* relative, without a slash at its end */
    char link[101];         /* of CM_TAR_LINK: where it points, any text */
    char user[33], group[33];
    mode_t mode; /* permission bits */
    int64_t mtime_s;
    int64_t size; /* of CM_TAR_FILE, else 0 */
};

/* ---- writing ---- */

/* Appends the header; size bytes and cm_tar_padding() zeros have to follow. -1: it does
 * not fit the format, or the path is one that the reader refuses. */
CM_MUSTUSE int cm_tar_put(struct cm_buf *out, const struct cm_tar_entry *e,
                          struct cm_err *err);
size_t cm_tar_padding(int64_t size);
/* The end: two blocks of zeros. */
#define CM_TAR_END_SIZE (2 * CM_TAR_BLOCK)

/* ---- reading ---- */

enum cm_tar_event {
    CM_TAR_MORE,  /* all bytes are taken; push more */
    CM_TAR_ENTRY, /* tar->entry begins */
    CM_TAR_DATA,  /* a piece of it */
    CM_TAR_DONE,  /* it ends */
    CM_TAR_END,   /* so does the archive; what follows is not looked at */
};

struct cm_tar {
    struct cm_tar_entry entry; /* from CM_TAR_ENTRY until CM_TAR_DONE */
    /* the reader's own */
    unsigned char block[CM_TAR_BLOCK];
    size_t have;
    int64_t left;   /* of the entry's bytes */
    size_t padding; /* behind them */
    unsigned zeros; /* blocks of zeros seen in a row */
    int state;
    char name[CM_TAR_PATH]; /* a long name that came before its entry */
    size_t name_len;
};

void cm_tar_init(struct cm_tar *tar);
/* Takes from *data (*n bytes left) up to the next event. piece and piece_len: set with
 * CM_TAR_DATA, inside of the given bytes. -1: this is no such archive; REFUSE. */
CM_MUSTUSE int cm_tar_next(struct cm_tar *tar, const char **data, size_t *n,
                           enum cm_tar_event *event_r, const char **piece,
                           size_t *piece_len, struct cm_err *err);

/* Relative, no empty, "." or ".." component, no control character, shorter than
 * CM_TAR_PATH. */
bool cm_tar_path_ok(const char *path);

#endif
