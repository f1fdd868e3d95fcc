/* header: reads the header of a message or of a MIME part (RFC 5322, 2.2), and keeps
 * the few fields that the filter looks at. Push bytes, take fields; nothing is
 * allocated.
 *
 * Line ends are CRLF or LF. */
#ifndef FILTER_HEADER_H
#define FILTER_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#define HEADER_FIELD_MAX 4096 /* bytes of one field that are read; the rest is cut */
#define HEADER_NAME_MAX  76   /* a longer name is none that we know */

enum header_event {
    HEADER_MORE,  /* all was taken and nothing is complete */
    HEADER_FIELD, /* one field: name, value; valid until the next call */
    HEADER_END,   /* the empty line was taken; what follows is the body */
    HEADER_BAD    /* a line that is no field. Nothing is taken any more */
};

struct header_reader {
    char text[HEADER_FIELD_MAX];
    size_t len;
    bool cut;    /* the field is longer than HEADER_FIELD_MAX */
    bool folded; /* a line is complete; does the next one go on with it? */
    bool bad;
    size_t total; /* bytes taken so far */
    /* HEADER_FIELD: as it came, without the colon and without the last line end. */
    const char *name, *value;
    size_t name_len, value_len;
};

void header_reader_init(struct header_reader *r);
/* Takes up to the end of one field; returns how many bytes were taken. */
size_t header_read(struct header_reader *r, const char *data, size_t len,
                   enum header_event *event_r);
/* There is no more input: gives the last field, if one is open, then HEADER_END. */
enum header_event header_read_end(struct header_reader *r);

/* Unfolds (each line end goes), drops control bytes, trims blanks at both ends. Writes
 * at most size - 1 bytes and a NUL. Returns the length, or size when it did not fit;
 * out is "" then. */
size_t header_unfold(const char *value, size_t len, char *out, size_t size);

bool header_is(const char *name, size_t name_len, const char *wanted);

/* --- the fields that are looked at --- */

enum field {
    FIELD_FROM,
    FIELD_SUBJECT,
    FIELD_CONTENT_TYPE,
    FIELD_ENCODING, /* Content-Transfer-Encoding */
    FIELD_SECURE_JOIN,
    FIELD_AUTO_SUBMITTED,
    FIELDS
};

#define FIELD_TEXT_MAX 2000

struct field_text {
    unsigned count;            /* how often the field occurs */
    bool too_long;             /* the first one did not fit; text is "" */
    char text[FIELD_TEXT_MAX]; /* of the first one, unfolded and trimmed */
};

struct fields {
    struct field_text field[FIELDS];
};

void fields_init(struct fields *fields);
/* Blanks between name and colon do not count (RFC 5322, 4.5.8). cut: the value is not
 * all of it. */
void fields_add(struct fields *fields, const char *name, size_t name_len,
                const char *value, size_t value_len, bool cut);
/* The text of a field that occurs once and fits, else NULL. */
const char *fields_once(const struct fields *fields, enum field field);

#endif
