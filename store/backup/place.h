/* place: where on a store the things are that a backup has. */
#ifndef BACKUP_PLACE_H
#define BACKUP_PLACE_H

#include <stdbool.h>

#include "common/conf.h"
#include "common/err.h"

/* Names in the archive. */
#define PLACE_ROLES    "roles"
#define PLACE_DATABASE "database.dump"
#define PLACE_STORE    "store" /* below it: paths from the root directory */
#define PLACE_MAIL     "mail"  /* below it: mailboxes */

struct place {
    struct cm_conf conf;
    const char *mail_owner; /* user and group of mailboxes; "root" in tests */
    const char *root;       /* "" but in tests: stands before every path */
    const char *conninfo;   /* of a database to be used by this user; NULL: database
                             * chatmail, as user postgres */
};

CM_MUSTUSE int place_open(struct place *p, const char *config, struct cm_err *err);
void place_close(struct place *p);

/* Directories with keys, without the first slash; ended by NULL. */
extern const char *const place_trees[];
bool place_in_tree(const char *path);
/* May this path (without the first slash) be in a backup? It is below one of those and
 * not made by chatops run, or is the operator's certificate or key. */
bool place_holds(const struct place *p, const char *path);

#endif
