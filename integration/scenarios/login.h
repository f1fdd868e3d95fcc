/* login: many logins at once, each in a thread, with what each was answered. */
#ifndef SCENARIOS_LOGIN_H
#define SCENARIOS_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "probe/imap.h"

#include "door.h"
#include "stage.h"

#define LOGIN_PARALLEL_MAX 256

struct login {
    struct door door;
    char user[96];
    char password[64];
    enum imap_verdict want;
    bool answered; /* from here on filled by login_all */
    enum imap_verdict got;
    int64_t ms;
    char text[256]; /* the answer, or why there was none */
};

/* Runs all, `parallel` (1..LOGIN_PARALLEL_MAX) at a time, each step of a connection at
 * most timeout_ms. */
void login_all(const struct stage *stage, struct login *logins, size_t n,
               size_t parallel, int64_t timeout_ms);
/* The first that was not answered as wanted is an error; its text says how many. */
CM_MUSTUSE int login_judge(const struct login *logins, size_t n, struct cm_err *err);

#endif
