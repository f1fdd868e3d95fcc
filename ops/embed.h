/* embed: the files of ops/templates and www/, carried inside the program
 * (cmake/Embed.cmake), so that chatops needs nothing beside itself on the laptop. */
#ifndef OP_EMBED_H
#define OP_EMBED_H

#include <stddef.h>

struct op_embedded {
    const char *name; /* path below its directory: "postfix/main.cf" */
    const char *data; /* NUL-terminated; the NUL is not counted in len */
    size_t len;
};

/* Sorted by name; ended by name == NULL. */
extern const struct op_embedded op_embedded[];     /* ops/templates */
extern const struct op_embedded op_embedded_www[]; /* www */

#endif
