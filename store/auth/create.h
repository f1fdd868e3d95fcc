/* create: from the first login of an address to its account.
 *
 * A lane of its own, so that a flood of new addresses does not hold up those who have
 * an account: at most CREATE_LANE_MAX addresses are under way, their passwords are
 * hashed by a process of low priority (hasher.h), and their statements have connections
 * of their own. Who waits for them are at most CREATE_WAITING_MAX, however many ask for
 * one address; Dovecot has more auth workers than that (ops/stack.c), so some are
 * always free.
 *
 * What is asked, in this order; the first no refuses, and is logged and counted:
 * nocreate file, mode of registrations, rules.h, invite token; room in the lane;
 * limits.h, the invite in PostgreSQL, netlimit.h. Then the password is hashed and the
 * account inserted together with the use of the invite.
 *
 * Those who race for one address are one creation: the first of them tries; when it is
 * refused the next tries, with its own password. */
#ifndef AUTH_CREATE_H
#define AUTH_CREATE_H

#include "common/conf.h"
#include "common/err.h"
#include "common/loop.h"
#include "common/netlimit.h"
#include "common/pg.h"

#include "bans.h"
#include "counts.h"
#include "hasher.h"
#include "key.h"
#include "limits.h"

#define CREATE_LANE_MAX    HASHER_MAX
#define CREATE_WAITING_MAX 256 /* for all addresses together; more are put off */
#define CREATE_WITHIN_MS   200 /* a good word of limits.h holds; a bad one never does */

struct create_env {
    struct cm_pg *pg;
    struct hasher *hasher;
    struct cm_netlimit *netlimit;
    const struct cm_conf *const *conf; /* never NULL when asked; changes on reload */
    const char *nocreate_path;         /* while this file exists nothing is created */
    const struct limits_readers *readers;
    struct bans *bans;
    struct counts *counts;
};

struct creator;

/* env is copied; what it points to outlives the creator. */
struct creator *creator_new(const struct create_env *env);
/* From now on every creation ends as trouble at its next step: before netlimit,
 * hasher and pg are freed, which call back. */
void creator_stop(struct creator *creator);
void creator_free(struct creator **creator); /* nothing may be under way */

/* password: the stored hash, this call's or an earlier one's; NULL when refused, and
 * then err->kind is REFUSE; or NULL and another kind: try again later. Exactly one call
 * per create_account(), perhaps before return. */
typedef void (*create_cb)(const char *password, const struct cm_err *err, void *ctx);

/* key: of kind KEY_PASSDB, an address of ours that has no account; its password is
 * wiped. */
void create_account(struct creator *creator, struct key *key, create_cb cb, void *ctx);

#endif
