/* decode: takes the content transfer encoding off a part (RFC 2045, 6), streaming.
 *
 * Push a piece, then take decoded pieces until decode_next() says false. 7bit, 8bit and
 * binary pass through uncopied. */
#ifndef FILTER_DECODE_H
#define FILTER_DECODE_H

#include <stdbool.h>
#include <stddef.h>

#define DECODE_OUT_MAX 4096

enum decode_kind { DECODE_PLAIN, DECODE_BASE64, DECODE_QP };

struct decode {
    enum decode_kind kind;
    bool bad; /* the text is not in its encoding; nothing is given any more */
    const char *data, *end;
    unsigned quad, bits; /* base64: characters and bits of the group under way */
    unsigned pads;       /* '=' seen; only they and blanks may follow */
    unsigned escape;     /* quoted-printable: characters of "=XX" seen */
    char high;           /* the first X */
    char out[DECODE_OUT_MAX];
    const char *piece; /* valid until the next call */
    size_t piece_len;
};

/* encoding: value of Content-Transfer-Encoding, "" or NULL when there is none. False
 * for one that RFC 2045 does not have. */
bool decode_init(struct decode *d, const char *encoding);
void decode_push(struct decode *d, const char *data, size_t len);
bool decode_next(struct decode *d);
/* Is what was given complete? */
bool decode_end(const struct decode *d);

#endif
