/* template: text with {{name}} holes, strict in both directions.
 *
 * {{name}} is replaced by its value. {{#name}}...{{/name}} stays when the value is
 * neither empty nor "no"; {{^name}}...{{/name}} stays when it is. A tag alone on its
 * line takes the line with it. {{!...}} is a comment. A name without a value, an open
 * section, or a value that is never used by any template of a run is an error, not an
 * empty string. Values are put in as they are: whoever makes them escapes for the
 * target format. */
#ifndef CM_TEMPLATE_H
#define CM_TEMPLATE_H

#include <stddef.h>

#include "common/err.h"

struct cm_template_var {
    const char *name;
    const char *value;
};

/* Appends nothing on failure. The error names file, line and the unknown name. *out_r
 * is malloc'd and NUL-terminated. `file` is for messages only. */
CM_MUSTUSE int cm_template_render(const char *file, const char *text,
                                  const struct cm_template_var *vars, size_t n,
                                  char **out_r, struct cm_err *err);

#endif
