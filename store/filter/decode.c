#include "decode.h"

#include <string.h>
#include <strings.h>

#include "base64.h"

static const struct {
    const char *name;
    enum decode_kind kind;
} encodings[] = {
    {"", DECODE_PLAIN},        {"7bit", DECODE_PLAIN},
    {"8bit", DECODE_PLAIN},    {"binary", DECODE_PLAIN},
    {"base64", DECODE_BASE64}, {"quoted-printable", DECODE_QP},
};

bool decode_init(struct decode *d, const char *encoding)
{
    const char *name = encoding != NULL ? encoding : "";
    d->bad = false;
    d->data = d->end = NULL;
    d->quad = d->bits = d->pads = d->escape = 0;
    for (size_t i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++) {
        if (strcasecmp(name, encodings[i].name) == 0) {
            d->kind = encodings[i].kind;
            return true;
        }
    }
    d->bad = true;
    return false;
}

void decode_push(struct decode *d, const char *data, size_t len)
{
    d->data = data;
    d->end = data + len;
}

/* The bytes of a group that ended early: "xx==" has one, "xxx=" two. */
static size_t last_group(struct decode *d, size_t n)
{
    if (d->quad + d->pads < 4) {
        return n;
    }
    d->out[n++] = (char)(d->bits >> (d->quad == 3 ? 10 : 4));
    if (d->quad == 3) {
        d->out[n++] = (char)(d->bits >> 2);
    }
    d->quad = 0;
    return n;
}

static size_t step_base64(struct decode *d, char c, size_t n)
{
    unsigned char value = base64_value[(unsigned char)c];
    if (c == '\n' || c == '\r' || c == ' ' || c == '\t') {
        return n;
    }
    if (c == '=' && (d->quad >= 2 || d->pads > 0) && d->pads < 2) {
        d->pads++;
        d->bad = d->quad == 0; /* the group was complete */
        return last_group(d, n);
    }
    if (value == BASE64_NONE || d->pads > 0) {
        d->bad = true;
        return n;
    }
    d->bits = d->bits << 6 | value;
    if (++d->quad == 4) {
        d->out[n++] = (char)(d->bits >> 16);
        d->out[n++] = (char)(d->bits >> 8);
        d->out[n++] = (char)d->bits;
        d->quad = 0;
    }
    return n;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "=XX", or '=' at the end of a line, where blanks may stand between. */
static size_t step_qp(struct decode *d, char c, size_t n)
{
    if (d->escape == 0) {
        if (c == '=') {
            d->escape = 1;
        } else {
            d->out[n++] = c;
        }
        return n;
    }
    if (d->escape == 2) {
        d->escape = 0;
        d->bad = hex(c) < 0;
        d->out[n++] = (char)(hex(d->high) * 16 + hex(c));
        return n;
    }
    if (c == '\n') {
        d->escape = 0;
    } else if (hex(c) >= 0) {
        d->high = c;
        d->escape = 2;
    } else if (c != '\r' && c != ' ' && c != '\t') {
        d->bad = true;
    }
    return n;
}

bool decode_next(struct decode *d)
{
    if (d->bad || d->data == d->end) {
        return false;
    }
    if (d->kind == DECODE_PLAIN) {
        d->piece = d->data;
        d->piece_len = (size_t)(d->end - d->data);
        d->data = d->end;
        return true;
    }
    size_t n = 0;
    while (d->data < d->end && n + 3 <= sizeof(d->out) && !d->bad) {
        char c = *d->data++;
        n = d->kind == DECODE_BASE64 ? step_base64(d, c, n) : step_qp(d, c, n);
    }
    d->piece = d->out;
    d->piece_len = n;
    return n > 0 && !d->bad;
}

bool decode_end(const struct decode *d)
{
    return !d->bad && d->quad == 0 && d->escape == 0;
}
