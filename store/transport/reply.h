/* reply: reads what an SMTP server says, in pieces of any size (RFC 5321 4.2). Pure.
 *
 * Limits: REPLY_LINE_MAX bytes in a line, REPLY_LINES_MAX lines in a reply (more of
 * either is an error); REPLY_TEXT_MAX bytes of text are kept, the rest is dropped. */
#ifndef TRANSPORT_REPLY_H
#define TRANSPORT_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#define REPLY_LINE_MAX  4096
#define REPLY_LINES_MAX 256
#define REPLY_TEXT_MAX  4096
#define REPLY_FLAT_MAX  512

struct reply {
    unsigned code;             /* 200 to 599 */
    char text[REPLY_TEXT_MAX]; /* without codes; lines joined by '\n' */
    size_t len;
};

struct reply_reader {
    struct reply reply;
    char line[REPLY_LINE_MAX];
    size_t line_len;
    size_t lines;
    bool taken; /* the reply has been given out; the next byte begins a new one */
};

void reply_init(struct reply_reader *reader);

/* Reads from data; *used_r says how much. 1: reader->reply is whole (what follows is
 * not read yet), 0: all read, more is needed, -1: this is not SMTP. */
int reply_feed(struct reply_reader *reader, const char *data, size_t len,
               size_t *used_r);

/* Is there a line that begins with this word (of an EHLO reply), whatever its case? */
bool reply_offers(const struct reply *reply, const char *word);

/* "550 5.1.1 text of all lines" in one printable line; an enhanced status code that is
 * repeated on each line stands once. Returns its length. */
size_t reply_flat(const struct reply *reply, char out[REPLY_FLAT_MAX]);

#endif
