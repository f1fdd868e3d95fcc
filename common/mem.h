/* mem: allocation that never returns NULL (it aborts, naming the size). Free with
 * free(). */
#ifndef CM_MEM_H
#define CM_MEM_H

#include <stddef.h>

#include "common/err.h"

void *cm_malloc(size_t size);               /* size 0 gives a valid pointer */
void *cm_calloc(size_t count, size_t size); /* checked multiplication, zeroed */
void *cm_realloc_array(void *p, size_t count, size_t size);
char *cm_strdup(const char *s); /* NULL in, NULL out */
char *cm_strndup(const char *s, size_t n);
char *cm_asprintf(const char *fmt, ...) CM_PRINTF(1, 2);

/* Overwrites memory in a way the compiler keeps; for passwords and keys. */
void cm_wipe(void *p, size_t n);
/* cm_wipe over the string, free, and clear the pointer. Accepts a pointer to NULL. */
void cm_wipe_str(char **s);

#endif
