/* ini: reads the file format of chatmail.ini, line by line, into named values.
 *
 * "[section]" or "[kind NAME]"; "key = value"; a line that begins with blanks continues
 * the value of the line before (joined by '\n', blanks at both ends cut, as Python's
 * configparser does); lines beginning with '#' or ';' are comments; a '#' or ';' inside
 * a value is part of it. Limits: file 1 MiB, line 64 KiB. */
#ifndef CM_INI_H
#define CM_INI_H

#include <stddef.h>

#include "common/err.h"

struct cm_ini_item {
    char *section; /* "params", "store", "gateway edge1" (one blank between) */
    char *key;     /* lower case */
    char *value;   /* may be "" */
    unsigned line; /* of the key, from 1 */
};

struct cm_ini {
    struct cm_ini_item *items;
    size_t count;
};

/* `name` is for messages: "chatmail.ini:12: ...". A key twice in one section, a line
 * that is neither, or text before the first section is an error. */
CM_MUSTUSE int cm_ini_parse(const char *name, const char *text, size_t len,
                            struct cm_ini *ini_r, struct cm_err *err);
void cm_ini_clear(struct cm_ini *ini);

#endif
