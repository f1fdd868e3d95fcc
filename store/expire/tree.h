/* tree: removes a directory and all below it, with bounded memory and descriptors. */
#ifndef EXPIRE_TREE_H
#define EXPIRE_TREE_H

#include <stdint.h>

#include "common/err.h"

#define TREE_DEPTH 32 /* deeper trees are an error */

/* Never follows a symbolic link. *files_r counts what was unlinked, also on failure.
 * Not being there is fine. */
CM_MUSTUSE int tree_remove(int at, const char *name, int64_t *files_r,
                           struct cm_err *err);

#endif
