#include "lmtp.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *word;
    enum lmtp_verb verb;
} verbs[] = {
    {"LHLO", LMTP_LHLO}, {"EHLO", LMTP_LHLO},       {"HELO", LMTP_HELO},
    {"DATA", LMTP_DATA}, {"MAIL FROM:", LMTP_MAIL}, {"RCPT TO:", LMTP_RCPT},
    {"RSET", LMTP_RSET}, {"NOOP", LMTP_NOOP},       {"VRFY", LMTP_VRFY},
    {"QUIT", LMTP_QUIT},
};

void lmtp_command_parse(const char *line, size_t len, struct lmtp_command *out)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        size_t n = strlen(verbs[i].word);
        if (len >= n && strncasecmp(line, verbs[i].word, n) == 0 &&
            (len == n || verbs[i].word[n - 1] == ':' || line[n] == ' ')) {
            *out = (struct lmtp_command){verbs[i].verb, line + n, len - n};
            return;
        }
    }
    *out = (struct lmtp_command){LMTP_UNKNOWN, line, len};
}

static int after_text(struct lmtp_data *d, char c)
{
    if (c == '\n' && d->at != LMTP_AT_CR) {
        d->bare = true;
        return LMTP_AT_TEXT;
    }
    return c == '\r' ? LMTP_AT_CR : c == '\n' ? LMTP_AT_START : LMTP_AT_TEXT;
}

bool lmtp_data_feed(struct lmtp_data *d, const char *data, size_t len, size_t *used_r,
                    lmtp_data_cb cb, void *ctx)
{
    size_t run = 0; /* data[run..i) is to be passed on */
    for (size_t i = 0; i < len; i++) {
        char c = data[i];
        bool held = d->at == LMTP_AT_DOT || d->at == LMTP_AT_DOT_CR;
        if (d->at == LMTP_AT_DOT_CR && c == '\n') {
            *used_r = i + 1;
            return true;
        }
        if ((d->at == LMTP_AT_DOT && c == '\r') ||
            (d->at == LMTP_AT_START && c == '.')) {
            if (i > run) {
                cb(data + run, i - run, ctx);
            }
            d->at = d->at == LMTP_AT_DOT ? LMTP_AT_DOT_CR : LMTP_AT_DOT;
            run = i + 1;
            continue;
        }
        if (held) {
            cb(".\r", d->at == LMTP_AT_DOT ? 1 : 2, ctx);
            run = i;
            d->at = d->at == LMTP_AT_DOT ? LMTP_AT_TEXT : LMTP_AT_CR;
        }
        d->at = after_text(d, c);
    }
    if (len > run) {
        cb(data + run, len - run, ctx);
    }
    *used_r = len;
    return false;
}
