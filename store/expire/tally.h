/* tally: what one daily pass did, for people and for /metrics. */
#ifndef EXPIRE_TALLY_H
#define EXPIRE_TALLY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/buf.h"

struct tally {
    int64_t mailboxes, mailboxes_removed;
    int64_t files, files_removed, bytes_removed;
    int64_t trimmed, over_quota;
    int64_t troubles; /* files and mailboxes that could not be read or removed */
};

void tally_add(struct tally *sum, const struct tally *part);
/* One line; removed false: "would remove". */
void tally_text(FILE *out, const struct tally *tally, bool removed, int64_t took_ms);
/* ended: Unix time; status: the exit status, 0 when all went well. */
void tally_prometheus(struct cm_buf *out, const struct tally *tally, int status,
                      int64_t ended, int64_t took_ms);

#endif
