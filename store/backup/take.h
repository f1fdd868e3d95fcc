/* take: puts one part of a backup back, from the archive's bytes on a descriptor.
 * Entries of other parts are passed over. May be done again after it was interrupted.
 */
#ifndef BACKUP_TAKE_H
#define BACKUP_TAKE_H

#include <stdint.h>

#include "place.h"

struct take_counts {
    uint64_t files;
    uint64_t boxes;   /* mailboxes that are there now */
    uint64_t present; /* mailboxes that were there already, and stayed as they were */
};

/* Keys: each file is replaced at once, with owner and mode. */
CM_MUSTUSE int take_store(const struct place *p, int fd, struct take_counts *n,
                          struct cm_err *err);
CM_MUSTUSE int take_database(const struct place *p, int fd, int64_t made_s,
                             struct take_counts *n, struct cm_err *err);
/* Mailboxes are made beside, and moved to their places when all are complete. */
CM_MUSTUSE int take_mail(const struct place *p, int fd, struct take_counts *n,
                         struct cm_err *err);

#endif
