#include "guard.h"

#define DAY 86400

int guard_clock(const struct guard_facts *facts, int64_t now, struct cm_err *err)
{
    int64_t newest = facts->newest_login > facts->newest_creation
                         ? facts->newest_login
                         : facts->newest_creation;
    if (facts->accounts > 0 && now - newest > GUARD_AHEAD_S) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "the clock is %lld days ahead of the newest login; if it is "
                          "right, run chatmail-expire with --force",
                          (long long)((now - newest) / DAY));
    }
    return 0;
}

int guard_accounts(const struct guard_facts *facts, int64_t max_share, int64_t now,
                   struct cm_err *err)
{
    if (facts->inactive == 0) {
        return 0;
    }
    if (facts->newest_login < 0 && now - facts->oldest_creation > GUARD_LOGINS_S) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "no login was ever recorded: is chatmail-lastlogin running? "
                          "--force removes all the same");
    }
    if (facts->newest_login >= 0 &&
        facts->settled_creation - facts->newest_login > GUARD_LOGINS_S) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "accounts are created but no login was recorded for %lld "
                          "days: is chatmail-lastlogin running? --force removes all "
                          "the same",
                          (long long)((now - facts->newest_login) / DAY));
    }
    if (facts->inactive > GUARD_FEW &&
        facts->inactive > facts->accounts / 100 * max_share +
                              facts->accounts % 100 * max_share / 100) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "%lld of %lld accounts are inactive, more than %lld %%; if "
                          "they shall go, use --force or --max-share",
                          (long long)facts->inactive, (long long)facts->accounts,
                          (long long)max_share);
    }
    return 0;
}
