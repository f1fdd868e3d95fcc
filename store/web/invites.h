/* invites: may an account still be made with this invite token? Asked of PostgreSQL, so
 * that a token that is dead is refused while its user looks at it; whether it counts is
 * decided at the first login (docs/registrations.md). */
#ifndef WEB_INVITES_H
#define WEB_INVITES_H

#include "common/loop.h"

#define INVITES_LIMIT_MS 2000 /* for an answer */

enum invites_verdict {
    INVITES_GOOD,
    INVITES_DEAD,   /* unknown, expired or used up */
    INVITES_UNTOLD, /* the database is away */
};

struct invites;

/* Connects at the first question, because most stores never ask. conninfo is
 * borrowed. */
struct invites *invites_new(struct cm_loop *loop, const char *conninfo);
void invites_free(struct invites **invites); /* what is asked is INVITES_UNTOLD */

/* Exactly one call per question; it may come before the return. */
typedef void (*invites_cb)(enum invites_verdict verdict, void *ctx);
/* token: as cm_invite_hash() takes it. */
void invites_ask(struct invites *invites, const char *token, invites_cb cb, void *ctx);

#endif
