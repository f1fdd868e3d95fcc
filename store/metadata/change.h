/* change: a committed transaction, boiled down to what it does (relay-spec.md 2.4.3).
 *
 * Nothing is done before the commit, and all of it or nothing then. Removing what is
 * not there is no error: an unset of any key is taken, of devicetoken it removes all
 * tokens. Setting any other key than devicetoken and messagenew is refused. */
#ifndef METADATA_CHANGE_H
#define METADATA_CHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/dict.h"
#include "common/err.h"

/* Per address. What is read back is one line of Dovecot's protocol, at most 64 KiB,
 * in which a byte may take two. */
#define TOKENS_MAX       32
#define TOKENS_BYTES_MAX 30000

struct change_token {
    const char *data; /* points into the operations; may hold any byte */
    size_t len;
};

struct change {
    bool clear; /* all older tokens go */
    struct change_token tokens[TOKENS_MAX];
    size_t count;
    size_t bytes; /* of all tokens */
    bool new_message;
};

/* REFUSE: a key that cannot be set, an empty token, or too many of them. The text does
 * not hold the value. */
CM_MUSTUSE int change_from(const struct cm_dict_op *ops, size_t n,
                           struct change *change_r, struct cm_err *err);

#endif
