/* blank: a line of a daemon's log without what tells who somebody is: mail addresses,
 * IP addresses, host names of clients, names tried at a login, tokens and keys.
 *
 * Each is replaced by a word like "[ip 1f3c9d02]", the same for the same thing as long
 * as this blank lives: its key is random and kept nowhere, so that nobody can try
 * addresses against the words. What is the cluster's own stays: its domain, the public
 * addresses of its gateways, loopback and the tunnels. */
#ifndef OP_BLANK_H
#define OP_BLANK_H

#include <stddef.h>

#define OP_BLANK_KEPT 300
/* A run of letters and digits this long, of mixed kind, is taken for a token. */
#define OP_BLANK_TOKEN_MIN 20

struct op_blank {
    char key[33];
    const char *kept[OP_BLANK_KEPT]; /* borrowed */
    size_t kept_count;
};

void op_blank_init(struct op_blank *b);
/* This word stays. At most OP_BLANK_KEPT, more are blanked. */
void op_blank_keep(struct op_blank *b, const char *word);

/* Any bytes; those that are no printable ASCII become "?". Caller frees. */
char *op_blank(const struct op_blank *b, const char *line);

#endif
