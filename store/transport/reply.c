#include "reply.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

void reply_init(struct reply_reader *reader)
{
    reader->reply.code = 0;
    reader->reply.len = 0;
    reader->reply.text[0] = '\0';
    reader->line_len = 0;
    reader->lines = 0;
    reader->taken = false;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static void keep(struct reply *reply, const char *text, size_t len)
{
    size_t room = sizeof(reply->text) - 1 - reply->len;
    if (reply->len > 0 && room > 0) {
        reply->text[reply->len++] = '\n';
        room--;
    }
    if (len > room) {
        len = room;
    }
    memcpy(reply->text + reply->len, text, len);
    reply->len += len;
    reply->text[reply->len] = '\0';
}

/* One line without its end: 1 the last of a reply, 0 more follow, -1 nonsense. */
static int take_line(struct reply_reader *r)
{
    const char *s = r->line;
    size_t len = r->line_len;
    if (len < 3 || !digit(s[0]) || !digit(s[1]) || !digit(s[2]) || s[0] < '2' ||
        s[0] > '5' || (len > 3 && s[3] != ' ' && s[3] != '-')) {
        return -1;
    }
    unsigned code = (unsigned)(s[0] - '0') * 100 + (unsigned)(s[1] - '0') * 10 +
                    (unsigned)(s[2] - '0');
    if (r->lines == 0) {
        r->reply.code = code;
    }
    if (++r->lines > REPLY_LINES_MAX || code != r->reply.code ||
        memchr(s, '\0', len) != NULL) {
        return -1;
    }
    if (len > 4) {
        keep(&r->reply, s + 4, len - 4);
    }
    return len > 3 && s[3] == '-' ? 0 : 1;
}

int reply_feed(struct reply_reader *r, const char *data, size_t len, size_t *used_r)
{
    size_t i = 0;
    if (r->taken) {
        reply_init(r);
    }
    while (i < len) {
        const char *lf = memchr(data + i, '\n', len - i);
        size_t n = lf != NULL ? (size_t)(lf - data) - i : len - i;
        if (n > sizeof(r->line) - r->line_len) {
            *used_r = i;
            return -1;
        }
        memcpy(r->line + r->line_len, data + i, n);
        r->line_len += n;
        i += n;
        if (lf == NULL) {
            break;
        }
        i++;
        if (r->line_len > 0 && r->line[r->line_len - 1] == '\r') {
            r->line_len--;
        }
        int rc = take_line(r);
        r->line_len = 0;
        if (rc != 0) {
            r->taken = rc == 1;
            *used_r = i;
            return rc;
        }
    }
    *used_r = i;
    return 0;
}

bool reply_offers(const struct reply *reply, const char *word)
{
    size_t len = strlen(word);
    for (const char *line = reply->text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncasecmp(line, word, len) == 0 && strchr(" \n", line[len]) != NULL) {
            return true; /* strchr finds the NUL at the end too */
        }
    }
    return false;
}

/* Length of "5.1.1 " at the front, 0 when there is none. */
static size_t enhanced(const char *s)
{
    size_t i = 0, dots = 0;
    if ((s[0] != '2' && s[0] != '4' && s[0] != '5') || s[1] != '.') {
        return 0;
    }
    while (digit(s[i]) || s[i] == '.') {
        dots += s[i++] == '.';
    }
    return dots == 2 && s[i] == ' ' ? i + 1 : 0;
}

size_t reply_flat(const struct reply *reply, char out[REPLY_FLAT_MAX])
{
    const char *s = reply->text;
    size_t status = enhanced(s);
    size_t len = (size_t)snprintf(out, REPLY_FLAT_MAX, "%u ", reply->code);
    for (size_t i = 0; s[i] != '\0' && len + 1 < REPLY_FLAT_MAX; i++) {
        if (s[i] == '\n' && status > 0 && strncmp(s + i + 1, s, status) == 0) {
            i += status;
            out[len++] = ' ';
            continue;
        }
        unsigned char c = (unsigned char)s[i];
        out[len++] = c == '\n' ? ' ' : c < ' ' || c >= 0x7f ? '?' : (char)c;
    }
    while (len > 3 && out[len - 1] == ' ') {
        len--;
    }
    out[len] = '\0';
    return len;
}
