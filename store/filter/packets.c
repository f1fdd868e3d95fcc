#include "packets.h"

#include "common/err.h"

#define TAG_PKESK 1
#define TAG_SKESK 3
#define TAG_SEIPD 18

void packets_init(struct packets *p)
{
    *p = (struct packets){.state = PACKETS_TAG};
}

static void body_follows(struct packets *p, uint64_t length)
{
    p->length = length;
    if (length > 0) {
        p->state = PACKETS_BODY;
    } else {
        p->state = p->partial ? PACKETS_LENGTH : PACKETS_TAG;
    }
}

static void number_follows(struct packets *p, unsigned bytes)
{
    p->need = bytes;
    p->length = 0;
    p->state = PACKETS_NUMBER;
}

static void read_tag(struct packets *p, unsigned char c)
{
    bool current = (c & 0xc0u) == 0xc0u;
    bool legacy = (c & 0xc0u) == 0x80u;
    unsigned tag = current ? c & 0x3fu : (unsigned)c >> 2 & 0xfu;
    unsigned kind = c & 3u; /* legacy: 1, 2 or 4 bytes of length, or none */
    bool known = tag == TAG_PKESK || tag == TAG_SKESK || tag == TAG_SEIPD;
    if ((!current && !legacy) || !known || p->tag == TAG_SEIPD ||
        (legacy && kind == 3)) {
        p->state = PACKETS_BAD;
        return;
    }
    p->tag = tag;
    p->partial = false;
    if (current) {
        p->state = PACKETS_LENGTH;
    } else {
        number_follows(p, 1u << kind);
    }
}

static void read_length(struct packets *p, unsigned char c)
{
    p->partial = c >= 224 && c < 255;
    if (c < 192) {
        body_follows(p, c);
    } else if (c < 224) {
        p->length = ((uint64_t)c - 192) << 8;
        p->state = PACKETS_LENGTH_2;
    } else if (c < 255) {
        body_follows(p, (uint64_t)1 << (c & 31u));
    } else {
        number_follows(p, 4);
    }
}

static void step(struct packets *p, unsigned char c)
{
    switch (p->state) {
    case PACKETS_TAG:
        read_tag(p, c);
        break;
    case PACKETS_LENGTH:
        read_length(p, c);
        break;
    case PACKETS_LENGTH_2:
        body_follows(p, p->length + c + 192);
        break;
    case PACKETS_NUMBER:
        p->length = p->length << 8 | c;
        if (--p->need == 0) {
            body_follows(p, p->length);
        }
        break;
    case PACKETS_BODY:
        packets_skip(p, 1);
        break;
    case PACKETS_BAD:
        break;
    }
}

bool packets_feed(struct packets *p, const unsigned char *data, size_t len)
{
    size_t i = 0;
    while (i < len && p->state != PACKETS_BAD) {
        uint64_t skip = packets_skippable(p);
        if (skip > 0) {
            uint64_t n = skip < len - i ? skip : len - i;
            packets_skip(p, n);
            i += (size_t)n;
        } else {
            step(p, data[i++]);
        }
    }
    return p->state != PACKETS_BAD;
}

uint64_t packets_skippable(const struct packets *p)
{
    return p->state == PACKETS_BODY ? p->length : 0;
}

void packets_skip(struct packets *p, uint64_t n)
{
    if (n > 0) {
        cm_assert(n <= packets_skippable(p));
        body_follows(p, p->length - n);
    }
}

bool packets_end(const struct packets *p)
{
    return p->state == PACKETS_TAG && p->tag == TAG_SEIPD;
}
