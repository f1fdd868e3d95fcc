/* credential: time-limited TURN credentials that this program makes itself, from the
 * secret it shares with the TURN server (relay-spec.md 2.15, "TURN REST"): the user
 * name is the second of expiry, the password base64 of HMAC-SHA1 over that text. */
#ifndef METADATA_CREDENTIAL_H
#define METADATA_CREDENTIAL_H

#include <stdint.h>

#include "common/err.h"

#define CREDENTIAL_VALID_S    (5 * 24 * 3600) /* as upstream */
#define CREDENTIAL_MAX        64              /* "EXPIRY:PASSWORD" and its NUL */
#define CREDENTIAL_SECRET_MAX 256

/* The first line of the file, which is one word; caller wipes it. Returns 1, or 0 when
 * there is no such file or it is empty: then there is no TURN server. */
CM_MUSTUSE int credential_secret(const char *path, char **secret_r, struct cm_err *err);

/* "EXPIRY:PASSWORD", valid for CREDENTIAL_VALID_S from now_s on. */
void credential_line(const char *secret, int64_t now_s, char out[CREDENTIAL_MAX]);

#endif
