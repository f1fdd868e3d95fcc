/* Any bytes as what an LMTP client says: command lines with their addresses, and, from
 * the first NUL on, message data: the same in one piece and byte by byte. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "address.h"
#include "common/buf.h"
#include "common/err.h"
#include "lmtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void command(const char *line, size_t len)
{
    struct lmtp_command c;
    char address[ADDRESS_MAX];
    struct domain domain;
    struct cm_err err;
    lmtp_command_parse(line, len, &c);
    cm_assert(c.rest >= line && c.rest + c.rest_len == line + len);
    if (address_extract(c.rest, c.rest_len, address, &err) == 0) {
        cm_assert(strpbrk(address, " \r\n\t") == NULL);
        if (address_domain(address, &domain, &err) == 0) {
            cm_assert(domain.name[0] != '\0');
        }
    }
}

static void keep(const char *data, size_t len, void *ctx)
{
    cm_assert(len > 0);
    cm_buf_add(ctx, data, len);
}

static bool message(const char *data, size_t size, size_t piece, struct cm_buf *out,
                    bool *bare)
{
    struct lmtp_data d = {.bare = false};
    bool end = false;
    cm_buf_init(out, 1u << 20);
    for (size_t at = 0; at < size && !end;) {
        size_t n = size - at < piece ? size - at : piece, used;
        end = lmtp_data_feed(&d, data + at, n, &used, keep, out);
        cm_assert(used <= n && (end || used == n));
        at += used;
    }
    *bare = d.bare;
    return end;
}

/* What is passed on must not end early at another server. */
static void check(const struct cm_buf *out, bool bare)
{
    cm_assert(out->len < 3 || memcmp(out->data, ".\r\n", 3) != 0);
    cm_assert(memmem(out->data, out->len, "\r\n.\r\n", 5) == NULL);
    if (!bare) {
        for (const char *lf = out->data;
             (lf = memchr(lf, '\n', out->len - (size_t)(lf - out->data))) != NULL;
             lf++) {
            cm_assert(lf > out->data && lf[-1] == '\r');
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *nul = size > 0 ? memchr(text, '\0', size) : NULL;
    size_t lines = nul != NULL ? (size_t)(nul - text) : size;
    for (size_t at = 0; at < lines;) {
        const char *lf = memchr(text + at, '\n', lines - at);
        size_t n = lf != NULL ? (size_t)(lf - text) - at : lines - at;
        command(text + at, n);
        at += n + 1;
    }
    if (nul != NULL && size < 1u << 20) {
        struct cm_buf whole, bytes;
        bool bare[2];
        size_t len = size - lines - 1;
        bool end = message(nul + 1, len, len + 1, &whole, &bare[0]);
        cm_assert(end == message(nul + 1, len, 1, &bytes, &bare[1]));
        cm_assert(whole.len == bytes.len && bare[0] == bare[1] &&
                  memcmp(whole.data, bytes.data, whole.len) == 0);
        check(&whole, bare[0]);
        cm_buf_clear(&whole);
        cm_buf_clear(&bytes);
    }
    return 0;
}
