/* box: the archive that goes to chatops, on a descriptor; each piece is written at
 * once.
 */
#ifndef BACKUP_BOX_H
#define BACKUP_BOX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/err.h"
#include "common/tar.h"

struct box {
    int fd;
    uint64_t files;
    /* Names of the owner met last. */
    uid_t uid;
    gid_t gid;
    char user[33], group[33];
};

void box_init(struct box *b, int fd);
/* A file of ours: root's, 0600. */
CM_MUSTUSE int box_text(struct box *b, const char *name, const void *data, size_t len,
                        struct cm_err *err);
/* data in place of what is in the file that st is of. */
CM_MUSTUSE int box_data(struct box *b, const char *name, const struct stat *st,
                        const void *data, size_t len, struct cm_err *err);
/* The open file whole; one that is shorter by now is an error. */
CM_MUSTUSE int box_file(struct box *b, const char *name, int fd, struct cm_err *err);
CM_MUSTUSE int box_dir(struct box *b, const char *name, const struct stat *st,
                       struct cm_err *err);
/* A directory with all that place holds of it; not being there is fine. */
struct place;
CM_MUSTUSE int box_tree(struct box *b, const struct place *p, const char *path,
                        struct cm_err *err);
CM_MUSTUSE int box_end(struct box *b, struct cm_err *err);

#endif
