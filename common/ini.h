/* ini: reads the file format of chatmail.ini, line by line, into named values.
 *
 * "[section]" or "[kind NAME]"; "key = value" (or "key: value", as Python's readers
 * allow); a line that begins with blanks continues the value of the line before (joined
 * by '\n', blanks at both ends cut); empty lines count for nothing, inside a value too;
 * lines whose first character is '#' or ';', indented or not, are comments; a '#' or
 * ';' inside a value is part of it. Limits: file 1 MiB, line 64 KiB, CM_INI_ITEMS_MAX
 * values. */
#ifndef CM_INI_H
#define CM_INI_H

#include <stddef.h>

#include "common/err.h"

#define CM_INI_ITEMS_MAX 1024

struct cm_ini_item {
    char *section; /* "params", "store", "gateway edge1" (one blank between) */
    char *key;     /* lower case */
    char *value;   /* may be "" */
    unsigned line; /* of the key, from 1 */
};

/* Sections in the order of the file, those without any value too. */
struct cm_ini_section {
    char *name;
    unsigned line;
};

struct cm_ini {
    struct cm_ini_item *items;
    size_t count;
    struct cm_ini_section *sections;
    size_t section_count;
};

/* `name` is for messages: "chatmail.ini:12: ...". A section twice, a key twice in one
 * section, a line that is neither, or text before the first section is an error. */
CM_MUSTUSE int cm_ini_parse(const char *name, const char *text, size_t len,
                            struct cm_ini *ini_r, struct cm_err *err);
void cm_ini_clear(struct cm_ini *ini);

/* NULL when that section has no such key. */
const struct cm_ini_item *cm_ini_find(const struct cm_ini *ini, const char *section,
                                      const char *key);

#endif
