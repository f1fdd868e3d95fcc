/* textfile: Prometheus text in a file, replaced as a whole, readable by everybody. */
#ifndef EXPIRE_TEXTFILE_H
#define EXPIRE_TEXTFILE_H

#include <stddef.h>

#include "common/err.h"

/* When path is a directory the file is `name` in it. */
CM_MUSTUSE int textfile_write(const char *path, const char *name, const char *text,
                              size_t len, struct cm_err *err);

#endif
