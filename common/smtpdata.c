#include "common/smtpdata.h"

#include <string.h>

void cm_smtpdata_init(struct cm_smtpdata *d)
{
    *d = (struct cm_smtpdata){.state = CM_SMTPDATA_LINE_START};
}

static enum cm_smtpdata_state step(enum cm_smtpdata_state state, char c)
{
    switch (state) {
    case CM_SMTPDATA_DOT_CR: /* whatever follows: LF makes the lone dot */
    case CM_SMTPDATA_BAD:
        return CM_SMTPDATA_BAD;
    case CM_SMTPDATA_CR:
        return c == '\n' ? CM_SMTPDATA_LINE_START : CM_SMTPDATA_BAD;
    case CM_SMTPDATA_DOT:
        if (c == '\r') {
            return CM_SMTPDATA_DOT_CR;
        }
        break;
    case CM_SMTPDATA_LINE_START:
        if (c == '.') {
            return CM_SMTPDATA_DOT;
        }
        break;
    case CM_SMTPDATA_MIDDLE:
        break;
    }
    if (c == '\n') {
        return CM_SMTPDATA_BAD;
    }
    return c == '\r' ? CM_SMTPDATA_CR : CM_SMTPDATA_MIDDLE;
}

/* The bytes from p on that cannot change the state inside a line. */
static size_t plain(const char *p, size_t len)
{
    const char *lf = memchr(p, '\n', len);
    size_t n = lf != NULL ? (size_t)(lf - p) : len;
    const char *cr = memchr(p, '\r', n);
    return cr != NULL ? (size_t)(cr - p) : n;
}

bool cm_smtpdata_feed(struct cm_smtpdata *d, const void *data, size_t len)
{
    const char *p = data;
    const char *end = p + len;
    d->some = d->some || len > 0;
    while (p < end && d->state != CM_SMTPDATA_BAD) {
        if (d->state == CM_SMTPDATA_MIDDLE) {
            p += plain(p, (size_t)(end - p));
            if (p == end) {
                break;
            }
        }
        d->state = step(d->state, *p++);
    }
    return d->state != CM_SMTPDATA_BAD;
}

bool cm_smtpdata_end(const struct cm_smtpdata *d)
{
    return d->some && d->state == CM_SMTPDATA_LINE_START;
}
