/* tokens: an account's device tokens over IMAP METADATA, as clients handle them. */
#ifndef SCENARIOS_TOKENS_H
#define SCENARIOS_TOKENS_H

#include "common/err.h"
#include "probe/imap.h"

#include "stage.h"

/* A session of the account, by edge1. NULL when it was not let in. */
struct imap *tokens_log_in(struct stage *stage, const struct scene_account *account,
                           struct cm_err *err);
CM_MUSTUSE int tokens_add(struct imap *imap, const char *value, struct cm_err *err);
/* Is this all the account has, joined by blanks? Else an error with what there is. */
CM_MUSTUSE int tokens_are(struct imap *imap, const char *value, struct cm_err *err);

/* The untagged lines of a command must hold `want`. */
CM_MUSTUSE int tokens_hold(struct imap *imap, const char *command, const char *want,
                           struct cm_err *err);

#endif
