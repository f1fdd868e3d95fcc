/* spool: the bytes of one message, in memory while they are few, else in a file without
 * a name in the spool directory. Many may read it at once, each at its own place. */
#ifndef TRANSPORT_SPOOL_H
#define TRANSPORT_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define SPOOL_MEMORY_MAX (64u << 10) /* of one message; a longer one is in a file */

struct spool;

/* dir is borrowed. */
struct spool *spool_new(const char *dir);
void spool_free(struct spool **spool);
/* Once it has failed (disk full, no such directory: RETRY), it stays so. */
CM_MUSTUSE int spool_add(struct spool *spool, const char *data, size_t len,
                         struct cm_err *err);
/* Nothing more will be added. */
CM_MUSTUSE int spool_close(struct spool *spool, struct cm_err *err);
uint64_t spool_size(const struct spool *spool);
/* Returns how many bytes were read at this offset, 0 at the end, -1 when it cannot be
 * read. */
CM_MUSTUSE int64_t spool_read(const struct spool *spool, uint64_t offset, char *out,
                              size_t size);

#endif
