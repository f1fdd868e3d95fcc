/* echo: is a file a program for that machine? */
#ifndef OP_ECHO_H
#define OP_ECHO_H

#include <stddef.h>

#include "common/err.h"

/* arch as Debian names it; one that is not known here is not judged. WORLD with what is
 * wrong about it. */
CM_MUSTUSE int op_echo_fits(const char *data, size_t len, const char *arch,
                            struct cm_err *err);

#endif
