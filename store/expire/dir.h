/* dir: the entries of a directory, straight from getdents64(2), with 32 KiB of memory
 * however many there are.
 *
 * Each bufferful is given out in order of inode numbers, so that a caller that asks for
 * every file's times reads a cold disk forwards. Entries may be unlinked while the
 * directory is read. "." and ".." are left out. */
#ifndef EXPIRE_DIR_H
#define EXPIRE_DIR_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define DIR_BUFFER (32u << 10)
#define DIR_BATCH  (DIR_BUFFER / 24) /* no entry is shorter than 24 bytes */

struct dir_entry {
    uint64_t ino;
    const char *name;   /* valid until the next dir_next() */
    unsigned char type; /* DT_*, DT_UNKNOWN where the file system does not say */
};

struct dir {
    int fd;
    char *buf;
    struct dir_entry *entries;
    size_t count, next;
};

/* Opens name below at, never through a symbolic link. Returns 0, or -1 with errno. */
CM_MUSTUSE int dir_open(struct dir *dir_r, int at, const char *name);
/* Returns 1, 0 at the end, or -1 with errno. */
CM_MUSTUSE int dir_next(struct dir *dir, struct dir_entry *entry_r);
/* Accepts one that is closed. */
void dir_close(struct dir *dir);

#endif
