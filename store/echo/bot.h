/* bot: from a started chat core to answers: makes or finds its account, configures it,
 * writes the invite link, then answers what is unread.
 *
 * A message counts as answered when the core has it marked as seen, which is after the
 * answer is in the core's queue. So a kill in between answers twice, and never not at
 * all. A message during which the core went down twice is passed over.
 *
 * The mail service is on the same machine and back within seconds when it is restarted;
 * the core by itself waits up to a minute. So it is told to look at the network. */
#ifndef ECHO_BOT_H
#define ECHO_BOT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/loop.h"

#define BOT_LOOK_MS    60000            /* unread messages are looked for, also */
#define BOT_IO_AGAIN_S (INT64_C(86400)) /* logs in anew: the account is in use */
#define BOT_CALL_MS    60000
#define BOT_LOGIN_MS   INT64_C(180000)
#define BOT_NET_MS     2000 /* a lost connection is tried anew, doubling up to */
#define BOT_NET_MAX_MS 60000

struct bot;

struct bot_options {
    const char *core;   /* the program */
    const char *dir;    /* accounts in DIR/accounts, the link in DIR/invite-link.txt */
    const char *domain; /* "[1.2.3.4]" on a relay without a name */
    const char *password; /* copied */
    bool fresh;           /* a configured account has another password yet */
};

struct bot_counts {
    uint64_t echoed;
    uint64_t passed_over;
    uint64_t core_restarts;
    bool ready; /* the core is up and its account is connected */
};

struct bot *bot_new(struct cm_loop *loop, const struct bot_options *options);
void bot_free(struct bot **bot);
struct bot_counts bot_counts(const struct bot *bot);

#endif
