/* pages_source: the sources of the web pages, in memory. Private to pages.c. */
#ifndef OP_PAGES_SOURCE_H
#define OP_PAGES_SOURCE_H

#include <stddef.h>

#include "common/err.h"

#define OP_SOURCES_MAX 500         /* files */
#define OP_SOURCE_MAX  (16u << 20) /* bytes of one file */

struct op_source {
    char *name; /* below the folder: "src/index.md"; of A-Z a-z 0-9 . _ - and '/' */
    char *data; /* NUL-terminated; the NUL is not counted in len */
    size_t len;
};

struct op_sources {
    struct op_source *items; /* sorted by name */
    size_t count;
};

/* The ones that chatops carries. */
void op_sources_own(struct op_sources *sources);
/* Every file below folder; hidden ones, editors' backups and links are passed over. 1
 * read, 0 no such folder, -1 error. */
CM_MUSTUSE int op_sources_read(const char *folder, struct op_sources *sources,
                               struct cm_err *err);
void op_sources_clear(struct op_sources *sources);
/* NULL when absent. */
const struct op_source *op_sources_find(const struct op_sources *sources,
                                        const char *name);

#endif
