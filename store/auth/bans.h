/* bans: who only ever tries, and is shut out at the gateways for BANS_SECONDS.
 *
 * The rule, generous because whole towns sit behind one address:
 *   - BANS_GUESSES different wrong pairs of user and password within BANS_WINDOW_MS,
 *     and no login from that source for BANS_WELCOME_MS. The same wrong pair again and
 *     again, as a phone with an old password sends it, is one.
 *   - or BANS_REFUSED new accounts asked for within BANS_WINDOW_MS after its network
 *     had had its share (creations_per_net). Logins make no difference here: who floods
 *     has logged in to what it made before.
 * Only sources (common/source.h) that a client on the Internet can have.
 *
 * A ban goes into table ban, by ban_add(); chatmail-cluster takes it from there. Kept
 * in memory: BANS_SOURCES sources, those heard of last; of each pair 32 bits of a keyed
 * hash. A restart of chatmail-auth does not forget them (bans_keep.h); a reboot does,
 * and one of Redis. When PostgreSQL is away the source begins anew. */
#ifndef AUTH_BANS_H
#define AUTH_BANS_H

#include "common/pg.h"
#include "common/redis.h"

#include "counts.h"

#define BANS_SOURCES    8192
#define BANS_WINDOW_MS  (10 * 60 * 1000)
#define BANS_GUESSES    100
#define BANS_REFUSED    1000
#define BANS_WELCOME_MS (24 * 3600 * INT64_C(1000))
#define BANS_SECONDS    3600

struct bans;

/* All three outlive it, but pg may be freed before. What it has asked of them may be
 * answered after bans_free(). */
struct bans *bans_new(struct cm_pg *pg, struct cm_redis *redis, struct counts *counts);
void bans_free(struct bans **bans);

/* client: numeric; what is "" or no public address is passed over. */
void bans_failed(struct bans *bans, const char *client, const char *user,
                 const char *password);
void bans_refused(struct bans *bans, const char *client);
void bans_welcome(struct bans *bans, const char *client);

#endif
