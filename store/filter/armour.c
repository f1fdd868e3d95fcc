#include "armour.h"

#include "base64.h"

static const char begin_line[] = "-----BEGIN PGP MESSAGE-----\r\n";
static const char end_line[] = "-----END PGP MESSAGE-----";
static const char version_word[] = "Version: ";

void armour_init(struct armour *a, bool version_allowed)
{
    *a = (struct armour){.state = ARMOUR_BEGIN, .version_allowed = version_allowed};
    packets_init(&a->packets);
}

static void enter(struct armour *a, enum armour_state state)
{
    a->state = state;
    a->at = 0;
}

static unsigned value_of(char c)
{
    return base64_value[(unsigned char)c];
}

static void decoded(struct armour *a, unsigned bytes)
{
    const unsigned char out[3] = {(unsigned char)(a->bits >> 16),
                                  (unsigned char)(a->bits >> 8),
                                  (unsigned char)a->bits};
    if (!packets_feed(&a->packets, out, bytes)) {
        enter(a, ARMOUR_BAD);
    }
}

/* Padding of a group of two or three characters; what it leaves unused must be zero. */
static void pad(struct armour *a)
{
    unsigned bytes = a->quad - 1;
    a->bits <<= 6 * (4 - a->quad);
    if ((a->bits & (bytes == 1 ? 0xffffu : 0xffu)) != 0) {
        enter(a, ARMOUR_BAD);
        return;
    }
    enter(a, bytes == 1 ? ARMOUR_PAD : ARMOUR_PADDED);
    decoded(a, bytes);
}

static void step_data(struct armour *a, char c)
{
    unsigned value = value_of(c);
    if (value != BASE64_NONE) {
        a->bits = (a->bits << 6 | value) & 0xffffffu;
        if (++a->quad == 4) {
            a->quad = 0;
            decoded(a, 3);
        }
    } else if (c == '=' && a->quad == 0) {
        enter(a, ARMOUR_CRC);
    } else if (c == '=' && a->quad > 1) {
        pad(a);
    } else if (c == '-' && a->quad == 0) {
        enter(a, ARMOUR_END);
        a->at = 1;
    } else if (c != '\r' && c != '\n') {
        enter(a, ARMOUR_BAD);
    }
}

/* Behind the data: line ends, and what `crc` allows. */
static void step_after(struct armour *a, char c, bool crc)
{
    if (c == '-') {
        enter(a, ARMOUR_END);
        a->at = 1;
    } else if (c == '=' && crc) {
        enter(a, ARMOUR_CRC);
    } else if (c != '\r' && c != '\n') {
        enter(a, ARMOUR_BAD);
    }
}

/* "Version" could be data as well, until its colon comes. */
static void step_version_or_data(struct armour *a, char c)
{
    size_t seen = a->at;
    if (c == version_word[seen]) {
        if (++a->at == sizeof(version_word) - 1) {
            enter(a, a->version_allowed ? ARMOUR_VERSION : ARMOUR_BAD);
        }
        return;
    }
    enter(a, ARMOUR_DATA);
    for (size_t i = 0; i < seen && a->state == ARMOUR_DATA; i++) {
        step_data(a, version_word[i]);
    }
    if (a->state == ARMOUR_DATA) {
        step_data(a, c);
    }
}

static void step_version(struct armour *a, char c)
{
    if (c == '\n') {
        enter(a, ARMOUR_DATA);
    } else if (++a->at > ARMOUR_VERSION_MAX) {
        enter(a, ARMOUR_BAD);
    }
}

static void step_end(struct armour *a, char c)
{
    if (a->at < sizeof(end_line) - 1 ? c == end_line[a->at] : c == '\r' || c == '\n') {
        a->at += a->at < sizeof(end_line) - 1;
    } else {
        enter(a, ARMOUR_BAD);
    }
}

static void step(struct armour *a, char c)
{
    switch (a->state) {
    case ARMOUR_BEGIN:
        if (c != begin_line[a->at]) {
            enter(a, ARMOUR_BAD);
        } else if (++a->at == sizeof(begin_line) - 1) {
            enter(a, ARMOUR_VERSION_OR_DATA);
        }
        break;
    case ARMOUR_VERSION_OR_DATA:
        step_version_or_data(a, c);
        break;
    case ARMOUR_VERSION:
        step_version(a, c);
        break;
    case ARMOUR_DATA:
        step_data(a, c);
        break;
    case ARMOUR_PAD:
        enter(a, c == '=' ? ARMOUR_PADDED : ARMOUR_BAD);
        break;
    case ARMOUR_PADDED:
        step_after(a, c, true);
        break;
    case ARMOUR_CRC:
        if (value_of(c) == BASE64_NONE) {
            enter(a, ARMOUR_BAD);
        } else if (++a->at == 4) {
            enter(a, ARMOUR_CRC_DONE);
        }
        break;
    case ARMOUR_CRC_DONE:
        step_after(a, c, false);
        break;
    case ARMOUR_END:
        step_end(a, c);
        break;
    case ARMOUR_BAD:
        break;
    }
}

/* Whole groups inside a packet's body are checked against the alphabet and counted, not
 * decoded. Returns how many characters were taken; a line end stops it. */
static size_t take_groups(struct armour *a, const char *data, size_t len)
{
    uint64_t groups = packets_skippable(&a->packets) / 3;
    size_t n = 0, max = len / 4 < groups ? len / 4 * 4 : (size_t)groups * 4;
    while (n + 8 <= max) {
        const char *p = data + n;
        unsigned seen = value_of(p[0]) | value_of(p[1]) | value_of(p[2]) |
                        value_of(p[3]) | value_of(p[4]) | value_of(p[5]) |
                        value_of(p[6]) | value_of(p[7]);
        if ((seen & BASE64_NONE) != 0) {
            break;
        }
        n += 8;
    }
    while (n < max && ((value_of(data[n]) | value_of(data[n + 1]) |
                        value_of(data[n + 2]) | value_of(data[n + 3])) &
                       BASE64_NONE) == 0) {
        n += 4;
    }
    packets_skip(&a->packets, n / 4 * 3);
    return n;
}

bool armour_feed(struct armour *a, const char *data, size_t len)
{
    size_t i = 0;
    while (i < len && a->state != ARMOUR_BAD) {
        if (a->state == ARMOUR_DATA && a->quad == 0) {
            i += take_groups(a, data + i, len - i);
            if (i == len) {
                break;
            }
        }
        step(a, data[i++]);
    }
    return a->state != ARMOUR_BAD;
}

bool armour_end(const struct armour *a)
{
    return a->state == ARMOUR_END && a->at == sizeof(end_line) - 1 &&
           packets_end(&a->packets);
}
