/* e2e: the real program in all its modes, with a real PostgreSQL and Redis and a DNS
 * server with moods, for tests that speak to it as Postfix does. Inside cmocka tests:
 * anything unexpected fails the test. */
#ifndef FILTER_TESTING_E2E_H
#define FILTER_TESTING_E2E_H

#include <sys/types.h>

#include "letters/letters.h"
#include "pgfixture/pgfixture.h"
#include "redisfixture/redisfixture.h"

#include "testing/dns_server.h"
#include "testing/signer.h"

#define ONE     "one@chat.example.org"
#define TWO     "two@chat.example.org"
#define LAX     "lax@chat.example.org"
#define OFF     "off@chat.example.org"
#define FAR     "far@example.net"
#define CLEAR   "523 Encryption Needed: Invalid Unencrypted Mail"
#define UNKNOWN "550 5.1.1 Recipient address rejected: User unknown"
#define AWAY    "451 4.3.0 Accounts cannot be looked up now; try again later"

#define SIGNED "insert DKIM-Signature 1\n"
#define DOTS   "header Subject 1  [...]\n" SIGNED

struct side {
    const char *mode;
    char path[96], log[96];
    int listener;
    pid_t pid;
};

struct e2e {
    struct pgfixture *pg;
    struct redisfixture *redis;
    struct ds_server *dns;
    struct sg_key *key; /* of those who write to us */
    char *record;
    struct sg_key *our_key; /* what the filter signs with */
    char dir[64], ini[96], kept[96], key_file[96];
    struct side out, in, sign;
};
extern struct e2e e2e; /* whole between set_up and tear_down */

int e2e_set_up(void **state);
int e2e_tear_down(void **state);

void e2e_start(struct side *side); /* returns when it speaks */
void e2e_stop(struct side *side);
void e2e_wait_for_log(const struct side *side, const char *text);
void e2e_write_ini(const char *more);
void e2e_write_key(const struct sg_key *key);
/* Other settings, by SIGHUP; returns when they are in force. */
void e2e_reload(struct side *side, const char *more);

/* One message over a connection of its own, and what it must come to. changes: those
 * asked for of Postfix; may be NULL for one that goes out. */
void e2e_expect_out(enum letter letter, const char *from, const char *author,
                    const char *to, const char *answer, const char *changes);
void e2e_expect_in(enum letter letter, const char *from, const char *author,
                   const char *to, const char *answer, const char *changes);
void e2e_expect_in_text(const char *text, const char *from, const char *to,
                        const char *answer, const char *changes);
/* Signed with e2e.key by the author's domain. Caller frees. */
char *e2e_signed_letter(enum letter letter, const char *author, const char *to);

#endif
