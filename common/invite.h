/* invite: invite tokens, as chatops makes them and chatmail-auth takes them.
 *
 * A token is CM_INVITE_LEN characters of an alphabet without 0 1 i l o: 59 bits. It is
 * typed by people, so capitals count as small letters. It travels in front of the
 * password of a new account: "TOKEN.REST"; all of that is the password from then on.
 * Only its SHA-256 is ever stored. */
#ifndef CM_INVITE_H
#define CM_INVITE_H

#include <stdbool.h>

#include "common/err.h"

#define CM_INVITE_LEN      12
#define CM_INVITE_ALPHABET "abcdefghjkmnpqrstuvwxyz23456789"
#define CM_INVITE_HASH     65 /* SHA-256 in small hex digits, and NUL */

/* -1 (WORLD) when the system has no randomness. */
CM_MUSTUSE int cm_invite_make(char token_r[CM_INVITE_LEN + 1], struct cm_err *err);

/* The hash of exactly one token; false when text is none. */
bool cm_invite_hash(const char *text, char hash_r[CM_INVITE_HASH]);

/* "TOKEN.REST": the hash of the token, and where REST begins (perhaps empty). false
 * when the password does not begin so. */
bool cm_invite_split(const char *password, char hash_r[CM_INVITE_HASH],
                     const char **rest_r);

#endif
