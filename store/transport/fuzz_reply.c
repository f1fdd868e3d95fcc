/* Any bytes as replies of an SMTP server: the same in one piece and byte by byte. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/err.h"
#include "reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    size_t replies;
    bool bad;
    unsigned code;
    size_t len;
};

static struct outcome run(const char *data, size_t size, size_t piece)
{
    static struct reply_reader reader;
    struct outcome out = {0};
    char flat[REPLY_FLAT_MAX];
    reply_init(&reader);
    for (size_t at = 0; at < size && !out.bad;) {
        size_t n = size - at < piece ? size - at : piece, used;
        int rc = reply_feed(&reader, data + at, n, &used);
        cm_assert(used <= n && (rc != 0 || used == n));
        at += used;
        out.bad = rc < 0;
        if (rc > 0) {
            size_t len = reply_flat(&reader.reply, flat);
            cm_assert(len == strlen(flat) && len < sizeof(flat));
            cm_assert(strpbrk(flat, "\r\n") == NULL);
            (void)reply_offers(&reader.reply, "STARTTLS");
            out.replies++;
            out.code = reader.reply.code;
            out.len = reader.reply.len;
        }
    }
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = run((const char *)data, size, size + 1);
    struct outcome bytes = run((const char *)data, size, 1);
    cm_assert(whole.replies == bytes.replies && whole.bad == bytes.bad &&
              whole.code == bytes.code && whole.len == bytes.len);
    return 0;
}
