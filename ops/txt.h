/* txt: what TXT records say. Pure. */
#ifndef OP_TXT_H
#define OP_TXT_H

#include <stdbool.h>
#include <stddef.h>

#define OP_TXT_MAX 4096 /* bytes of one record; what is longer is cut */

/* The character-strings of a record, as in a zone file ("\"a\" \"b\""), joined. */
void op_txt_join(const char *data, char *out, size_t size);

/* Whether it is a record of that kind: its text begins with "v=spf1", "v=DMARC1", ...
 * as a whole word; case is nothing. */
bool op_txt_is(const char *text, const char *version);

/* The value of a tag of a list "a=b; c = d" (RFC 6376 3.2), without blanks in it; ""
 * when it is not there. */
void op_txt_tag(const char *text, const char *tag, char *out, size_t size);

/* Does the record that is published do all that the wanted one does? DKIM, DMARC,
 * MTA-STS (any id) and ADSP by their meaning: order, blanks, further tags and defaults
 * are nothing; other texts byte for byte. */
bool op_txt_serves(const char *wanted, const char *published);

#endif
