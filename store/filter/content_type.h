/* content_type: a Content-Type value (RFC 2045, 5.1), as far as the filter needs it. */
#ifndef FILTER_CONTENT_TYPE_H
#define FILTER_CONTENT_TYPE_H

#include <stdbool.h>

#define CTYPE_NAME_MAX     80
#define CTYPE_BOUNDARY_MAX 70 /* RFC 2046, 5.1.1 */

struct ctype {
    char name[CTYPE_NAME_MAX];             /* "type/subtype" as written */
    char boundary[CTYPE_BOUNDARY_MAX + 1]; /* "" when there is none */
};

/* value: unfolded. False when it is no Content-Type, or its boundary is one that cannot
 * be: too long, given twice, or split as RFC 2231 would; programs differ in how they
 * read those. */
bool ctype_parse(const char *value, struct ctype *out);
/* Case-insensitive; a name ending in '/' stands for the whole type. */
bool ctype_is(const struct ctype *ctype, const char *name);

#endif
