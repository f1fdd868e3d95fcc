/* template: text with {{name}} holes, strict in both directions.
 *
 * {{name}} is replaced by its value. {{#name}}...{{/name}} stays when the value is
 * neither empty nor "no"; {{^name}}...{{/name}} stays when it is. {{!...}} is a
 * comment. A section tag or a comment alone on its line takes the line with it;
 * {{name}} never does. A name is of a-z, A-Z, 0-9, '_', '-' and '.', blanks around it
 * do not count. A name without a value, an open section, or a value that is never used
 * by any template of a run is an error, not an empty string; names inside a section
 * that falls away are checked too. Values are put in as they are: whoever makes them
 * escapes for the target format. Limits: CM_TEMPLATE_DEPTH nested sections,
 * CM_TEMPLATE_MAX bytes of result. */
#ifndef CM_TEMPLATE_H
#define CM_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define CM_TEMPLATE_DEPTH 16
#define CM_TEMPLATE_MAX   (8u * 1024 * 1024)

struct cm_template_var {
    const char *name;
    const char *value; /* NULL: as if the name were not in the list */
};

/* Appends nothing on failure. The error begins "FILE:LINE:COLUMN: " and names the
 * unknown name. *out_r is malloc'd and NUL-terminated. `file` is for messages only. */
CM_MUSTUSE int cm_template_render(const char *file, const char *text,
                                  const struct cm_template_var *vars, size_t n,
                                  char **out_r, struct cm_err *err);

/* The same, and marks in used[0..n) which values this template names; it sets flags and
 * clears none, so that one array serves a run of templates over the same vars. */
CM_MUSTUSE int cm_template_render_used(const char *file, const char *text,
                                       const struct cm_template_var *vars, size_t n,
                                       bool *used, char **out_r, struct cm_err *err);

/* After the run: -1, naming them, when some values were used by no template. */
CM_MUSTUSE int cm_template_unused(const struct cm_template_var *vars, size_t n,
                                  const bool *used, struct cm_err *err);

#endif
