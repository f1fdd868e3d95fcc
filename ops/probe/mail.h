/* mail: texts of test messages, and random names for test accounts. */
#ifndef PROBE_MAIL_H
#define PROBE_MAIL_H

#include <stddef.h>

/* A whole message, CRLF lines, in the shape that counts as encrypted
 * (relay-spec.md 2.9.5), so that a relay's filter has no reason to refuse it. id goes
 * between the brackets of Message-ID. Caller frees. */
char *mail_text(const char *from, const char *to, const char *id);

/* The same with a text that is not encrypted: to be refused. */
char *mail_plain(const char *from, const char *to, const char *id);
/* A securejoin request, which may pass though it is not encrypted. */
char *mail_securejoin(const char *from, const char *to, const char *id);

/* n-1 random characters of a-z and 0-9 with a letter first, and a NUL. */
void mail_random(char *out, size_t n);

#endif
