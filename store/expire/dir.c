#include "dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/mem.h"

/* What the kernel writes (getdents(2)); glibc has no name for it. */
struct raw_entry {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    unsigned char type;
    char name[];
};

int dir_open(struct dir *dir_r, int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    *dir_r = (struct dir){.fd = fd,
                          .buf = cm_malloc(DIR_BUFFER),
                          .entries = cm_malloc(DIR_BATCH * sizeof(struct dir_entry))};
    return 0;
}

static int by_inode(const void *a, const void *b)
{
    const struct dir_entry *x = a, *y = b;
    return (x->ino > y->ino) - (x->ino < y->ino);
}

static int fill(struct dir *dir)
{
    long n = syscall(SYS_getdents64, dir->fd, dir->buf, DIR_BUFFER);
    if (n <= 0) {
        return (int)n;
    }
    dir->count = dir->next = 0;
    for (long pos = 0; pos < n;) {
        const struct raw_entry *raw = (const void *)(dir->buf + pos);
        pos += raw->reclen;
        if (strcmp(raw->name, ".") == 0 || strcmp(raw->name, "..") == 0) {
            continue;
        }
        cm_assert(dir->count < DIR_BATCH);
        dir->entries[dir->count++] =
            (struct dir_entry){.ino = raw->ino, .name = raw->name, .type = raw->type};
    }
    qsort(dir->entries, dir->count, sizeof(dir->entries[0]), by_inode);
    return 1;
}

int dir_next(struct dir *dir, struct dir_entry *entry_r)
{
    while (dir->next == dir->count) {
        int rc = fill(dir);
        if (rc <= 0) {
            return rc;
        }
    }
    *entry_r = dir->entries[dir->next++];
    return 1;
}

void dir_close(struct dir *dir)
{
    if (dir->buf == NULL) {
        return;
    }
    close(dir->fd);
    free(dir->buf);
    free(dir->entries);
    *dir = (struct dir){.fd = -1};
}
