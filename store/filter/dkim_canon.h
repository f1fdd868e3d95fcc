/* dkim_canon: the two canonical forms of RFC 6376 3.4, for header fields at once and
 * for the body as a stream. Pure; a body costs constant memory, whatever its size. */
#ifndef FILTER_DKIM_CANON_H
#define FILTER_DKIM_CANON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/* Adds "name:value" in canonical form, without line end, to out. The value is as
 * dkim_header() in dkim.h gets it. Line ends within come out as CRLF (simple) or
 * vanish (relaxed). */
void dkim_canon_field(struct cm_buf *out, bool relaxed, const char *name,
                      size_t name_len, const char *value, size_t value_len);

#define DKIM_CANON_CHUNK 1024

/* Gets the canonical body in pieces of at most DKIM_CANON_CHUNK bytes. */
typedef void (*dkim_canon_sink)(void *ctx, const void *data, size_t len);

struct dkim_canon {
    bool relaxed;
    bool blank;     /* blanks were seen that count only if text follows on this line */
    bool cr;        /* the last byte was CR */
    bool text;      /* something came out */
    uint64_t lines; /* line ends that count only if text follows */
    size_t used;
    dkim_canon_sink sink;
    void *ctx;
    char out[DKIM_CANON_CHUNK];
};

void dkim_canon_begin(struct dkim_canon *c, bool relaxed, dkim_canon_sink sink,
                      void *ctx);
/* A line ends in CRLF; a CR or LF alone is text. */
void dkim_canon_body(struct dkim_canon *c, const void *data, size_t len);
void dkim_canon_end(struct dkim_canon *c);

#endif
