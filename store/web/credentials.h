/* credentials: the name and password that /new hands out (relay-spec.md 2.11, 2.11.1).
 *
 * Nothing is made by this: the account comes into being at its first login. Pure but
 * for the system's random numbers. */
#ifndef WEB_CREDENTIALS_H
#define WEB_CREDENTIALS_H

#include <stddef.h>

#include "common/conf.h"
#include "common/err.h"

#define CREDENTIALS_NAME_MAX     64
#define CREDENTIALS_PASSWORD_MAX 256

struct credentials {
    char email[CREDENTIALS_NAME_MAX + 256]; /* name@domain */
    char password[CREDENTIALS_PASSWORD_MAX];
};

/* username_max_length of a-z0-9 in front of the mail domain; password_min_length + 3 of
 * all printable ASCII but the blank. invite: NULL, or a token: the password then begins
 * with it and a dot, so that the first login carries it. -1 (RETRY) without randomness.
 * Wipe it after use. */
CM_MUSTUSE int credentials_make(const struct cm_conf *conf, const char *invite,
                                struct credentials *out_r, struct cm_err *err);

/* "dclogin:ADDRESS?p=PASSWORD&v=1[&ih=IP&sh=IP]&ic=3". Caller frees, with cm_wipe_str.
 */
char *credentials_dclogin(const struct cm_conf *conf, const struct credentials *c);

/* {"email": ..., "password": ...} and, in self-signed mode, "dclogin_url". Caller
 * frees, with cm_wipe_str. */
char *credentials_json(const struct cm_conf *conf, const struct credentials *c);

#endif
