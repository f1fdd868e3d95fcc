/* walk: every regular file of one mailbox, once (relay-spec.md 2.6, 2.7).
 *
 * Files directly in a directory named cur, new or tmp are messages, at any depth; all
 * others are extra. What vanishes meanwhile is passed over; symbolic links and other
 * things are too. Directories deeper than WALK_DEPTH are not entered. */
#ifndef EXPIRE_WALK_H
#define EXPIRE_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define WALK_DEPTH 8

enum walk_kind { WALK_EXTRA, WALK_CUR, WALK_NEW, WALK_TMP };

struct walk_file {
    int at;           /* the directory it is in */
    const char *dir;  /* the same as text, relative to the mailboxes */
    const char *name; /* valid during the call */
    enum walk_kind kind;
    bool inbox; /* in cur, new or tmp of the mailbox itself */
    int64_t mtime;
    int64_t size; /* on the disk */
};

typedef void walk_fn(const struct walk_file *file, void *ctx);

/* each() may unlink what it is given. A part that cannot be read is left out, and the
 * first such reason is the error (WORLD). A mailbox that is not there is empty. */
CM_MUSTUSE int walk_mailbox(int base, const char *mailbox, walk_fn *each, void *ctx,
                            struct cm_err *err);

/* "cur" is WALK_CUR and so on; any other name WALK_EXTRA. */
enum walk_kind walk_kind_of(const char *name);

#endif
