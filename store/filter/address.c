#include "address.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* RFC 5322 atext, dots, and bytes of UTF-8. */
static bool is_atom(char c)
{
    return (c > ' ' && c != 0x7f && strchr("()<>@,;:\\\"[]", c) == NULL) ||
           ((unsigned char)c & 0x80u) != 0;
}

/* Where reading is, and what was read. */
struct scan {
    const char *p;
    char out[ADDRESS_SIZE];
    size_t len;
    bool full;
};

static void put(struct scan *s, char c)
{
    if (s->len == ADDRESS_MAX) {
        s->full = true;
        return;
    }
    s->out[s->len++] = lower(c);
}

/* Blanks and nested comments. False when a comment does not end. */
static bool skip_cfws(struct scan *s)
{
    unsigned depth = 0;
    for (;; s->p++) {
        char c = *s->p;
        if (c == '(') {
            if (++depth > ADDRESS_DEPTH) {
                return false;
            }
        } else if (c == ')' && depth > 0) {
            depth--;
        } else if (c == '\\' && depth > 0 && s->p[1] != '\0') {
            s->p++;
        } else if (c == '\0') {
            return depth == 0;
        } else if (depth == 0 && c != ' ' && c != '\t') {
            return true;
        }
    }
}

/* The quotes stay only where the text needs them. */
static bool read_quoted(struct scan *s)
{
    size_t start = s->len;
    bool needed = s->p[1] == '"';
    put(s, '"');
    for (s->p++; *s->p != '"'; s->p++) {
        bool escaped = *s->p == '\\' && s->p[1] != '\0';
        if (escaped) {
            s->p++;
        }
        if (*s->p == '\0') {
            return false;
        }
        if (!is_atom(*s->p)) {
            needed = true;
        }
        if (*s->p == '"' || *s->p == '\\') {
            put(s, '\\');
        }
        put(s, *s->p);
    }
    s->p++;
    if (needed) {
        put(s, '"');
    } else if (!s->full) {
        memmove(s->out + start, s->out + start + 1, s->len - start - 1);
        s->len--;
    }
    return true;
}

/* Words joined by dots. Returns whether there was at least one. */
static bool read_words(struct scan *s)
{
    size_t before = s->len;
    for (;;) {
        if (*s->p == '"') {
            if (!read_quoted(s)) {
                return false;
            }
        } else if (is_atom(*s->p)) {
            put(s, *s->p++);
        } else {
            return s->len > before;
        }
    }
}

static bool read_domain(struct scan *s)
{
    size_t before = s->len;
    if (*s->p == '[') {
        for (; *s->p != ']'; s->p++) {
            if (*s->p == '\0' || *s->p == '\\' || *s->p == '<' || *s->p == '>') {
                return false;
            }
            put(s, *s->p);
        }
        put(s, *s->p++);
        return true;
    }
    while (is_atom(*s->p)) {
        put(s, *s->p++);
    }
    return s->len > before;
}

static bool done(struct scan *s, char out[ADDRESS_SIZE])
{
    if (s->full) {
        return false;
    }
    s->out[s->len] = '\0';
    memcpy(out, s->out, s->len + 1);
    return true;
}

/* Behind the '<'. A source route (RFC 5321, appendix C) does not count. */
static bool read_angle(struct scan *s, char out[ADDRESS_SIZE])
{
    s->len = 0;
    s->full = false;
    if (!skip_cfws(s)) {
        return false;
    }
    if (*s->p == '@') {
        s->p = strchr(s->p, ':');
        if (s->p == NULL) {
            return false;
        }
        s->p++;
    }
    if (!skip_cfws(s) || !read_words(s) || !skip_cfws(s)) {
        return false;
    }
    if (*s->p == '@') {
        s->p++;
        put(s, '@');
        if (!skip_cfws(s) || !read_domain(s) || !skip_cfws(s)) {
            return false;
        }
    }
    return *s->p == '>' && done(s, out);
}

/* Words that turn out to be a display name are read over: their length is no matter. */
static bool read_mailbox(struct scan *s, char out[ADDRESS_SIZE])
{
    size_t words = 0;
    s->len = 0;
    s->full = false;
    while (skip_cfws(s)) {
        if (*s->p == '<') {
            s->p++;
            return read_angle(s, out);
        }
        if (*s->p == '@') {
            put(s, *s->p++);
            return words == 1 && skip_cfws(s) && read_domain(s) && skip_cfws(s) &&
                   (*s->p == '\0' || *s->p == ',' || *s->p == ';') && done(s, out);
        }
        if (*s->p == ':' && words > 0) { /* a group: its first member */
            s->p++;
            words = s->len = 0;
            s->full = false;
            continue;
        }
        if (!read_words(s)) {
            return false;
        }
        words++;
    }
    return false;
}

bool address_first(const char *text, char out[ADDRESS_SIZE])
{
    struct scan s = {.p = text};
    while (*s.p == ' ' || *s.p == '\t' || *s.p == ',') {
        s.p++;
    }
    return read_mailbox(&s, out);
}

bool address_command(const char *text, char out[ADDRESS_SIZE])
{
    static const char *const verbs[] = {"mail from:", "rcpt to:"};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strncasecmp(text, verbs[i], strlen(verbs[i])) == 0) {
            text += strlen(verbs[i]);
        }
    }
    struct scan s = {.p = text};
    if (!skip_cfws(&s)) {
        return false;
    }
    if (strncmp(s.p, "<>", 2) == 0) {
        out[0] = '\0';
        return true;
    }
    return read_mailbox(&s, out);
}

const char *address_domain(const char *addr)
{
    const char *at = NULL;
    bool quoted = false;
    for (const char *p = addr; *p != '\0'; p++) {
        if (*p == '\\' && quoted && p[1] != '\0') {
            p++;
        } else if (*p == '"') {
            quoted = !quoted;
        } else if (*p == '@' && !quoted) {
            if (at != NULL) {
                return NULL;
            }
            at = p;
        }
    }
    return at != NULL && at != addr && at[1] != '\0' ? at + 1 : NULL;
}

bool address_is_literal(const char *domain, char ip[46])
{
    char text[46];
    unsigned char binary[16];
    size_t len = strlen(domain);
    if (len < 3 || domain[0] != '[' || domain[len - 1] != ']') {
        return false;
    }
    bool six = strncasecmp(domain + 1, "ipv6:", 5) == 0;
    const char *from = domain + 1 + (six ? 5 : 0);
    size_t n = (size_t)(domain + len - 1 - from);
    if (n >= sizeof(text)) {
        return false;
    }
    memcpy(text, from, n);
    text[n] = '\0';
    if (inet_pton(six ? AF_INET6 : AF_INET, text, binary) != 1) {
        return false;
    }
    if (ip != NULL) {
        memcpy(ip, text, n + 1);
    }
    return true;
}

/* A quoted local part means the same as its text, so it must not hide a '+'. */
static size_t unquote_user(const char *local, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len && local[i] != '+'; i++) {
        if (local[i] == '\\' && i + 1 < len) {
            out[n++] = local[++i];
        } else if (local[i] != '"') {
            out[n++] = local[i];
        }
    }
    return n;
}

bool address_account(const char *rcpt, char out[ADDRESS_SIZE])
{
    char addr[ADDRESS_SIZE];
    struct scan s = {.p = rcpt};
    if (!read_words(&s) || *s.p != '@') {
        return false;
    }
    put(&s, *s.p++);
    if (!read_domain(&s) || *s.p != '\0' || !done(&s, addr)) {
        return false;
    }
    const char *domain = address_domain(addr);
    if (domain == NULL) {
        return false;
    }
    size_t keep = unquote_user(addr, (size_t)(domain - addr) - 1, out);
    if (keep == 0) {
        return false;
    }
    memcpy(out + keep, domain - 1, strlen(domain) + 2);
    return true;
}
