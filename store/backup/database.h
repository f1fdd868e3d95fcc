/* database: the database of a store as one consistent copy, and back.
 *
 * Back, it replaces the database at once, when it is complete; and time that has passed
 * between is not held against anybody: no account, no device token is older than it was
 * then. Epochs of the desired state go on far above those that gateways may have seen
 * since; the newest document is kept but no longer counts as signed, so that the next
 * one published is sure to be newer. */
#ifndef BACKUP_DATABASE_H
#define BACKUP_DATABASE_H

#include <stdint.h>

#include "box.h"
#include "place.h"

/* Bans and switches since the backup, each of which takes an epoch. */
#define DATABASE_EPOCHS 1000000

CM_MUSTUSE int database_send(struct box *b, const struct place *p, struct cm_err *err);

/* roles: names, a line each. dump: an open file with what pg_dump wrote. made_s: when.
 */
CM_MUSTUSE int database_take(const struct place *p, const char *roles, int dump,
                             int64_t made_s, struct cm_err *err);

#endif
