/* mime: cuts the body of a multipart message into its parts (RFC 2046, 5.1), streaming.
 *
 * Only the outermost level is cut: no message that the filter lets pass has a multipart
 * inside, so depth is refused by whoever looks at a part's type. Push a chunk, then
 * take events until MIME_MORE. Nothing is allocated, no data is copied but a line that
 * might be a delimiter.
 *
 * Stricter than most readers, because different readers must not see different parts: a
 * line that begins like a delimiter and goes on otherwise is MIME_BAD, so is a header
 * of a part that is none or longer than MIME_PART_HEADER_MAX. */
#ifndef FILTER_MIME_H
#define FILTER_MIME_H

#include <stdbool.h>
#include <stddef.h>

#include "content_type.h"
#include "header.h"

#define MIME_PART_HEADER_MAX 1024 /* bytes */
#define MIME_PARTS_MAX       8
#define MIME_LINE_MAX        (CTYPE_BOUNDARY_MAX + 64)

enum mime_event {
    MIME_MORE,     /* all of the chunk was taken */
    MIME_PREAMBLE, /* a piece of text before the first part */
    MIME_PART,     /* a part begins: its fields */
    MIME_DATA,     /* a piece of its body, not decoded */
    MIME_PART_END,
    MIME_EPILOGUE, /* a piece of text behind the last part */
    MIME_BAD       /* nothing is taken any more */
};

enum mime_where { MIME_IN_PREAMBLE, MIME_IN_HEADER, MIME_IN_BODY, MIME_IN_EPILOGUE };

struct mime {
    char delimiter[CTYPE_BOUNDARY_MAX + 3]; /* "--boundary" */
    size_t delimiter_len;
    enum mime_where where;
    bool bad;
    bool at_start; /* of a line */
    char held[2];  /* a line end that may belong to a delimiter behind it */
    size_t held_len;
    char line[MIME_LINE_MAX]; /* begins like the delimiter */
    size_t line_len;
    bool give_held, give_line; /* they turned out to be text */
    const char *data, *end;    /* the chunk that was pushed */
    unsigned parts;            /* how many have begun */
    struct header_reader reader;
    /* MIME_PREAMBLE, MIME_DATA, MIME_EPILOGUE: valid until the next call. */
    const char *piece;
    size_t piece_len;
    /* MIME_PART. */
    struct fields fields;
};

/* boundary: not empty. */
void mime_init(struct mime *m, const char *boundary);
/* data stays the caller's until mime_next() has said MIME_MORE. */
void mime_push(struct mime *m, const char *data, size_t len);
enum mime_event mime_next(struct mime *m);
/* No more input. Take the last events by mime_next(), then ask whether the closing
 * delimiter was seen. */
void mime_end(struct mime *m);
bool mime_closed(const struct mime *m);

#endif
