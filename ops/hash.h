/* hash: SHA-256 as hexadecimal text, of one piece or of several with their lengths. */
#ifndef OP_HASH_H
#define OP_HASH_H

#include <stddef.h>

#define OP_HASH_TEXT 65 /* with NUL */

void op_hash(const void *data, size_t len, char out[OP_HASH_TEXT]);

#endif
