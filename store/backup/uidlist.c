#include "uidlist.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"

#define UID_MAX 4294967294u
#define VERSION "3 "

/* " N123" of the first line; the number's end in *end_r. NULL: it has none. */
static const char *find_next(const char *line, const char *eol, const char **end_r)
{
    for (const char *p = line; p + 2 < eol; p++) {
        if (p[0] == ' ' && p[1] == 'N') {
            size_t n = strspn(p + 2, "0123456789");
            *end_r = p + 2 + n;
            return n > 0 && n <= 10 && (**end_r == ' ' || **end_r == '\n') ? p + 2
                                                                           : NULL;
        }
    }
    return NULL;
}

char *uidlist_make(const char *text, size_t len, uint32_t more, bool with_messages,
                   size_t *len_r)
{
    struct cm_buf b;
    const char *eol = memchr(text, '\n', len), *end;
    const char *next = eol != NULL && strncmp(text, VERSION, strlen(VERSION)) == 0
                           ? find_next(text, eol, &end)
                           : NULL;

    if (next == NULL) {
        return NULL;
    }
    uint64_t raised = strtoull(next, NULL, 10) + more;
    if (raised > UID_MAX) {
        raised = UID_MAX;
    }
    const char *last = memrchr(text, '\n', len);
    cm_buf_init(&b, len + 32);
    cm_buf_add(&b, text, (size_t)(next - text));
    cm_buf_fmt(&b, "%" PRIu64, raised);
    cm_buf_add(&b, end, (size_t)((with_messages ? last : eol) + 1 - end));
    cm_assert(!b.overflow);
    *len_r = b.len;
    return cm_buf_steal(&b);
}
