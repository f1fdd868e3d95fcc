/* answer: the JSON that passdb and userdb both get (relay-spec.md 2.2.2). */
#ifndef AUTH_ANSWER_H
#define AUTH_ANSWER_H

/* {"addr","home","uid","gid","password"}: one line, ASCII. Caller frees. */
char *answer_json(const char *addr, const char *mailboxes_dir, const char *password);

#endif
