#include "picture.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/evp.h>

#include "common/buf.h"
#include "common/mem.h"

#define PICTURE_MAX (64u << 20)
#define BLOCK_MAX   65535u /* of deflate, stored */
#define LINE        48u    /* bytes of a line of base64 */

static void put32(struct cm_buf *b, uint32_t v)
{
    const char octets[] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    cm_buf_add(b, octets, 4);
}

static uint32_t crc_of(const char *p, size_t len)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

static void put_chunk(struct cm_buf *b, const char *type, const struct cm_buf *data)
{
    put32(b, (uint32_t)data->len);
    size_t from = b->len;
    cm_buf_str(b, type);
    cm_buf_add(b, data->data, data->len);
    put32(b, crc_of(b->data + from, b->len - from));
}

/* zlib's frame around blocks that are stored as they are (RFC 1950, RFC 1951). */
static void put_stored(struct cm_buf *out, const struct cm_buf *rows)
{
    uint32_t a = 1, b = 0;
    cm_buf_add(out, "\x78\x01", 2);
    for (size_t at = 0; at < rows->len;) {
        size_t n = rows->len - at < BLOCK_MAX ? rows->len - at : BLOCK_MAX;
        const char head[] = {at + n == rows->len, (char)n, (char)(n >> 8), (char)~n,
                             (char)(~n >> 8)};
        cm_buf_add(out, head, sizeof head);
        cm_buf_add(out, rows->data + at, n);
        at += n;
    }
    for (size_t i = 0; i < rows->len; i++) {
        a = (a + (unsigned char)rows->data[i]) % 65521;
        b = (b + a) % 65521;
    }
    put32(out, b << 16 | a);
}

static void put_rows(struct cm_buf *rows, unsigned side)
{
    char *row = cm_malloc(1 + 3 * (size_t)side);
    for (unsigned y = 0; y < side; y++) {
        row[0] = 0; /* no filter */
        for (size_t done = 0; done < 3 * (size_t)side;) {
            ssize_t n = getrandom(row + 1 + done, 3 * (size_t)side - done, 0);
            cm_assert(n > 0);
            done += (size_t)n;
        }
        cm_buf_add(rows, row, 1 + 3 * (size_t)side);
    }
    free(row);
}

static char *in_base64(const struct cm_buf *png)
{
    struct cm_buf out;
    unsigned char line[2 * LINE];
    cm_buf_init(&out, 2 * PICTURE_MAX);
    for (size_t at = 0; at < png->len; at += LINE) {
        size_t n = png->len - at < LINE ? png->len - at : LINE;
        EVP_EncodeBlock(line, (const unsigned char *)png->data + at, (int)n);
        cm_buf_fmt(&out, "%s\n", (const char *)line);
    }
    cm_assert(!out.overflow);
    return cm_buf_steal(&out);
}

char *picture_base64(unsigned side)
{
    struct cm_buf png, head, rows, data, none;
    cm_buf_init(&png, PICTURE_MAX);
    cm_buf_init(&head, 64);
    cm_buf_init(&rows, PICTURE_MAX);
    cm_buf_init(&data, PICTURE_MAX);
    cm_buf_init(&none, 1);
    put32(&head, side);
    put32(&head, side);
    cm_buf_add(&head, "\x08\x02\0\0", 5); /* 8 bits, RGB, not interlaced */
    put_rows(&rows, side);
    put_stored(&data, &rows);
    cm_buf_add(&png, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(&png, "IHDR", &head);
    put_chunk(&png, "IDAT", &data);
    put_chunk(&png, "IEND", &none);
    cm_assert(!png.overflow);
    char *text = in_base64(&png);
    cm_buf_clear(&png);
    cm_buf_clear(&head);
    cm_buf_clear(&rows);
    cm_buf_clear(&data);
    cm_buf_clear(&none);
    return text;
}
