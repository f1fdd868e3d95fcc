/* key: what Dovecot asks for, taken apart (relay-spec.md 2.2.1).
 *
 * shared/passdb/<password>"<user>   password check
 * shared/userdb/<user>              user lookup; with an empty user the path of a
 * listing
 *
 * Dovecot's %E puts a backslash before each ", ' and \ of both texts; one level is
 * removed here. The password may hold '/'. The wire's own escaping is undone before
 * (common/dict). */
#ifndef AUTH_KEY_H
#define AUTH_KEY_H

#include "common/err.h"

enum key_kind { KEY_PASSDB, KEY_USERDB };

struct key {
    enum key_kind kind;
    char *user;
    char *password; /* NULL for userdb */
};

/* -1 when the key is none of the above; the text never quotes it. */
CM_MUSTUSE int key_parse(const char *text, struct key *key_r, struct cm_err *err);

/* Wipes the password. Accepts a zeroed struct. */
void key_clear(struct key *key);

#endif
