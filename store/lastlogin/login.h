/* login: what Dovecot's last_login plugin says, as an address and a day
 * (relay-spec.md 2.3). */
#ifndef LASTLOGIN_LOGIN_H
#define LASTLOGIN_LOGIN_H

#include <stdint.h>

#include "common/dict.h"
#include "common/err.h"

#define LOGIN_ADDR_MAX 254

struct login {
    const char *addr; /* points into the operation's key */
    int32_t day;      /* since 1970-01-01, UTC; at most 9999-12-31 */
};

/* Takes `set shared/last-login/ADDRESS = seconds`. Anything else is REFUSE. The address
 * is printable ASCII with one @ in it and no slash, so that one of them can never spoil
 * the statement that carries many. */
CM_MUSTUSE int login_parse(const struct cm_dict_op *op, struct login *login_r,
                           struct cm_err *err);

#endif
