/* seal_message: a whole message through dkim_sign, as Postfix would send it on. */
#ifndef FILTER_TESTING_SEAL_MESSAGE_H
#define FILTER_TESTING_SEAL_MESSAGE_H

#include <stddef.h>

#include "dkim_sign.h"

/* message: CRLF lines, empty line, body, fed in chunks (0: all at once). *data_r: the
 * signature, its lines ending in CRLF, and the message, NUL behind; caller frees. */
CM_MUSTUSE int seal_message(const struct dkim_sign_as *as, const char *message,
                            size_t len, size_t chunk, char **data_r, size_t *len_r,
                            struct cm_err *err);

#endif
