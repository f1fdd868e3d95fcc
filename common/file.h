/* file: whole small files, read with a limit and replaced so that a crash leaves the
 * old or the new one, never half of either. */
#ifndef CM_FILE_H
#define CM_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "common/err.h"

/* Reads at most max bytes; a longer file is an error. *data_r is NUL-terminated, caller
 * frees; len_r may be NULL. Returns 1 read, 0 no such file, -1 error. */
CM_MUSTUSE int cm_file_read(const char *path, size_t max, char **data_r, size_t *len_r,
                            struct cm_err *err);

/* Temporary in the same directory, fchmod, fsync, rename, fsync of the directory. */
CM_MUSTUSE int cm_file_replace(const char *path, const void *data, size_t len,
                               mode_t mode, struct cm_err *err);

/* mkdir -p. Existing directories are fine and keep their mode. */
CM_MUSTUSE int cm_file_mkdirs(const char *path, mode_t mode, struct cm_err *err);

#endif
