/* key: what Dovecot asks for, taken apart (relay-spec.md 2.2.1).
 *
 * shared/passdb/<password>"<user>   password check, as upstream asks
 * shared/passdb-from/<client>/<local>/<password>"<user>
 *                                   the same, with the client's address and the one it
 *                                   came in by; each may be empty
 * shared/failed-from/<client>/<password>"<user>
 *                                   asked when the answer to the one above did not
 *                                   match: a wrong password
 * shared/userdb/<user>              user lookup; with an empty user the path of a
 *                                   listing
 * shared/userdb-from/<client>/<user>
 *                                   user lookup of who has logged in from there
 *
 * Dovecot's %E puts a backslash before each ", ' and \ of password and user; one level
 * is removed here. The password may hold '/'. The wire's own escaping is undone before
 * (common/dict). */
#ifndef AUTH_KEY_H
#define AUTH_KEY_H

#include <stdbool.h>

#include "common/err.h"

#define KEY_ADDRESS_SIZE 48 /* of a numeric address, with NUL */

enum key_kind { KEY_PASSDB, KEY_USERDB, KEY_FAILED };

struct key {
    enum key_kind kind;
    char *user;
    char *password;                /* NULL for userdb */
    char client[KEY_ADDRESS_SIZE]; /* "" when not told */
    char local[KEY_ADDRESS_SIZE];
};

/* -1 when the key is none of the above; the text never quotes it. */
CM_MUSTUSE int key_parse(const char *text, struct key *key_r, struct cm_err *err);

bool key_is_failed(const char *text);
/* Even a key that cannot be taken apart may hold a password. */
bool key_is_passdb(const char *text);

/* Wipes the password. Accepts a zeroed struct. */
void key_clear(struct key *key);

#endif
