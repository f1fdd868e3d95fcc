/* A multipart cut in any chunking gives the same parts and the same bytes. The first
 * byte says the chunking, the second the transfer encoding. */
#include <stdint.h>
#include <string.h>

#include "common/err.h"

#include "decode.h"
#include "mime.h"

static uint64_t digest, decoded; /* of the pieces, and of what they decode to */
static bool decode_ok;

static void mix(uint64_t *sum, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        *sum = (*sum ^ (unsigned char)p[i]) * 1099511628211u;
    }
}

static void on_piece(struct decode *d, const char *piece, size_t len)
{
    mix(&digest, piece, len);
    decode_push(d, piece, len);
    while (decode_next(d)) {
        mix(&decoded, d->piece, d->piece_len);
    }
}

static void cut(const char *data, size_t size, size_t chunk, const char *encoding)
{
    static struct mime m;
    static struct decode d;
    enum mime_event event = MIME_MORE, last = MIME_MORE;
    mime_init(&m, "b");
    (void)decode_init(&d, encoding);
    digest = decoded = 14695981039346656037u;
    for (size_t at = 0; event != MIME_BAD; at += chunk) {
        bool end = at >= size;
        if (end) {
            mime_end(&m);
        } else {
            mime_push(&m, data + at, size - at < chunk ? size - at : chunk);
        }
        while ((event = mime_next(&m)) != MIME_MORE && event != MIME_BAD) {
            if (event != last || event == MIME_PART || event == MIME_PART_END) {
                mix(&digest, (const char *)&event, sizeof(event));
            }
            if (event != MIME_PART && event != MIME_PART_END) {
                on_piece(&d, m.piece, m.piece_len);
            }
            last = event;
        }
        if (end) {
            break;
        }
    }
    decode_ok = decode_end(&d);
    bool closed = mime_closed(&m);
    mix(&digest, (const char *)&closed, sizeof(closed));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const encodings[] = {"", "base64", "quoted-printable"};
    if (size < 2) {
        return 0;
    }
    const char *encoding = encodings[data[1] % 3];
    cut((const char *)data + 2, size - 2, size, encoding);
    uint64_t whole = digest, text = decoded;
    bool ok = decode_ok;
    cut((const char *)data + 2, size - 2, 1 + data[0] % 31, encoding);
    cm_assert(digest == whole && decode_ok == ok);
    cm_assert(!ok || decoded == text); /* broken text may end early */
    return 0;
}
