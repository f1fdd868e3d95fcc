/* snippet: a text that must be short, collected from pieces. */
#ifndef FILTER_SNIPPET_H
#define FILTER_SNIPPET_H

#include <stdbool.h>
#include <stddef.h>

#define SNIPPET_MAX 200 /* bytes, blanks at its ends included */

struct snippet {
    char text[SNIPPET_MAX + 1];
    size_t len;
    bool too_long;
};

void snippet_init(struct snippet *s);
void snippet_add(struct snippet *s, const char *data, size_t len);
/* The text without blanks and line ends at both ends, in place; NULL when it was too
 * long or has a NUL. */
const char *snippet_trimmed(struct snippet *s);

#endif
