/* answer: the JSON that passdb and userdb both get (relay-spec.md 2.2.2). */
#ifndef AUTH_ANSWER_H
#define AUTH_ANSWER_H

#include <stdbool.h>

#include "common/buf.h"

/* {"addr","home","uid","gid","password"}: one line, ASCII, replaces what is in out.
 * addr: an address of ours (rules.h), so printable ASCII. false when mailboxes_dir or
 * password is not printable ASCII either, or it does not fit. */
bool answer_json(struct cm_buf *out, const char *addr, const char *mailboxes_dir,
                 const char *password);

#endif
