#include "dkim_sig.h"

#include <stdio.h>
#include <string.h>

#include "dkim.h"
#include "dkim_body.h"
#include "dkim_headers.h"

struct reading {
    struct dkim_sig *sig;
    struct dkim_span domain;
    int64_t signed_at; /* t=, -1: none */
    int64_t now_ms;
};

/* ---- one reader per tag ---- */

static enum dkim_flaw read_version(struct reading *r, const struct dkim_tag *t)
{
    (void)r;
    return t->value.len == 1 && t->value.p[0] == '1' ? DKIM_FLAW_NONE
                                                     : DKIM_FLAW_SYNTAX;
}

static enum dkim_flaw read_algorithm(struct reading *r, const struct dkim_tag *t)
{
    if (dkim_span_is(t->value, "rsa-sha256")) {
        r->sig->alg = DKIM_RSA_SHA256;
    } else if (dkim_span_is(t->value, "ed25519-sha256")) {
        r->sig->alg = DKIM_ED25519_SHA256;
    } else {
        return DKIM_FLAW_ALGORITHM;
    }
    return DKIM_FLAW_NONE;
}

static bool read_form(struct dkim_span s, bool *relaxed)
{
    *relaxed = dkim_span_is(s, "relaxed");
    return *relaxed || dkim_span_is(s, "simple");
}

static enum dkim_flaw read_canon(struct reading *r, const struct dkim_tag *t)
{
    struct dkim_span header = t->value, body = {"simple", 6};
    const char *slash = header.len > 0 ? memchr(header.p, '/', header.len) : NULL;
    if (slash != NULL) {
        body.p = slash + 1;
        body.len = header.len - (size_t)(body.p - header.p);
        header.len = (size_t)(slash - header.p);
    }
    return read_form(header, &r->sig->relaxed_header) &&
                   read_form(body, &r->sig->relaxed_body)
               ? DKIM_FLAW_NONE
               : DKIM_FLAW_SYNTAX;
}

static enum dkim_flaw read_h(struct reading *r, const struct dkim_tag *t)
{
    r->sig->h = t->value;
    if (!dkim_h_check(t->value, &r->sig->from)) {
        return DKIM_FLAW_SYNTAX;
    }
    return r->sig->from > 0 ? DKIM_FLAW_NONE : DKIM_FLAW_FROM;
}

/* The span is needed as it stands: b= is left out of what is signed, blanks and all. */
static enum dkim_flaw read_b(struct reading *r, const struct dkim_tag *t)
{
    r->sig->b_raw = t->raw;
    return dkim_base64(t->value, r->sig->b, sizeof(r->sig->b), &r->sig->b_len) &&
                   r->sig->b_len > 0
               ? DKIM_FLAW_NONE
               : DKIM_FLAW_SYNTAX;
}

static enum dkim_flaw read_bh(struct reading *r, const struct dkim_tag *t)
{
    size_t n;
    return dkim_base64(t->value, r->sig->body_hash, DKIM_HASH_SIZE, &n) &&
                   n == DKIM_HASH_SIZE
               ? DKIM_FLAW_NONE
               : DKIM_FLAW_SYNTAX;
}

/* RFC 6376 3.1 knows no others; and it keeps the lookup free of escapes.
 * Letters, digits, '-' and '_' in labels of 1 to 63. */
static bool good_domain(struct dkim_span s)
{
    size_t label = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (c == '.' ? label == 0 : !letter) {
            return false;
        }
        label = c == '.' ? 0 : label + 1;
        if (label > 63) {
            return false;
        }
    }
    return label > 0;
}

static enum dkim_flaw read_selector(struct reading *r, const struct dkim_tag *t)
{
    char *name = r->sig->key_name;
    struct dkim_span s = t->value, d = r->domain;
    if (s.len > DKIM_DOMAIN_MAX || d.len > DKIM_DOMAIN_MAX || !good_domain(s) ||
        !good_domain(d)) {
        return DKIM_FLAW_SYNTAX;
    }
    int n = snprintf(name, sizeof(r->sig->key_name), "%.*s._domainkey.%.*s", (int)s.len,
                     s.p, (int)d.len, d.p);
    if (n < 0 || (size_t)n >= sizeof(r->sig->key_name)) {
        return DKIM_FLAW_SYNTAX;
    }
    for (; *name != '\0'; name++) {
        *name = *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name;
    }
    return DKIM_FLAW_NONE;
}

static int hex(char c)
{
    const char *digits = "0123456789ABCDEF", *p = strchr(digits, c);
    return c != '\0' && p != NULL ? (int)(p - digits) : -1;
}

/* dkim-quoted-printable (RFC 6376 2.11). False when it is not, or does not fit. */
static bool unquote(struct dkim_span s, char *out, size_t cap, size_t *len)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (dkim_trim((struct dkim_span){&c, 1}).len == 0) {
            continue;
        }
        if (c == '=') {
            int high = i + 2 < s.len ? hex(s.p[i + 1]) : -1;
            int low = high >= 0 ? hex(s.p[i + 2]) : -1;
            if (low < 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (n == cap) {
            return false;
        }
        out[n++] = c;
    }
    *len = n;
    return true;
}

static enum dkim_flaw read_identity(struct reading *r, const struct dkim_tag *t)
{
    char text[1024];
    size_t len;
    if (!unquote(t->value, text, sizeof(text), &len)) {
        return DKIM_FLAW_SYNTAX;
    }
    /* The last: a quoted local part may have its own. */
    const char *at = memrchr(text, '@', len);
    if (at == NULL) {
        return DKIM_FLAW_SYNTAX;
    }
    struct dkim_span own = {at + 1, len - (size_t)(at + 1 - text)}, d = r->domain;
    if (own.len < d.len || strncasecmp(own.p + own.len - d.len, d.p, d.len) != 0) {
        return DKIM_FLAW_IDENTITY;
    }
    r->sig->exact = own.len == d.len;
    return r->sig->exact || own.p[own.len - d.len - 1] == '.' ? DKIM_FLAW_NONE
                                                              : DKIM_FLAW_IDENTITY;
}

static enum dkim_flaw read_length(struct reading *r, const struct dkim_tag *t)
{
    return dkim_number(t->value, &r->sig->body_length) &&
                   r->sig->body_length != DKIM_BODY_ALL
               ? DKIM_FLAW_NONE
               : DKIM_FLAW_SYNTAX;
}

/* Keys come from DNS; a signature that names other ways only cannot be checked. */
static enum dkim_flaw read_query(struct reading *r, const struct dkim_tag *t)
{
    struct dkim_span rest = t->value, item;
    (void)r;
    while (dkim_list_next(&rest, &item)) {
        if (dkim_span_is(item, "dns/txt") || dkim_span_is(item, "dns")) {
            return DKIM_FLAW_NONE;
        }
    }
    return DKIM_FLAW_SYNTAX;
}

static enum dkim_flaw read_time(struct reading *r, const struct dkim_tag *t)
{
    if (!dkim_number(t->value, &r->signed_at)) {
        return DKIM_FLAW_SYNTAX;
    }
    return r->signed_at <= (r->now_ms + DKIM_CLOCK_SKEW_MS) / 1000 ? DKIM_FLAW_NONE
                                                                   : DKIM_FLAW_FUTURE;
}

static enum dkim_flaw read_expiry(struct reading *r, const struct dkim_tag *t)
{
    int64_t x;
    if (!dkim_number(t->value, &x) || x <= r->signed_at) {
        return DKIM_FLAW_SYNTAX;
    }
    return x >= (r->now_ms - DKIM_CLOCK_SKEW_MS) / 1000 ? DKIM_FLAW_NONE
                                                        : DKIM_FLAW_EXPIRED;
}

/* ---- all of them ---- */

/* In this order: x= is compared with t=. d= is read before, other tags are ignored. */
static const struct {
    const char *tag;
    bool required;
    enum dkim_flaw (*read)(struct reading *r, const struct dkim_tag *t);
} rules[] = {
    {"v", true, read_version},  {"a", true, read_algorithm}, {"c", false, read_canon},
    {"s", true, read_selector}, {"h", true, read_h},         {"b", true, read_b},
    {"bh", true, read_bh},      {"i", false, read_identity}, {"l", false, read_length},
    {"q", false, read_query},   {"t", false, read_time},     {"x", false, read_expiry},
};

enum dkim_flaw dkim_sig_read(struct dkim_sig *sig, const char *value, size_t len,
                             const char *from_domain, int64_t now_ms)
{
    struct dkim_tags tags;
    struct reading r = {.sig = sig, .signed_at = -1, .now_ms = now_ms};
    if (!dkim_tags_parse(&tags, value, len)) { /* nobody can tell whose it is */
        return DKIM_FLAW_FOREIGN;
    }
    const struct dkim_tag *d = dkim_tags_find(&tags, "d");
    if (d == NULL || d->value.len == 0 || !dkim_span_is(d->value, from_domain)) {
        return DKIM_FLAW_FOREIGN;
    }
    r.domain = d->value;
    *sig = (struct dkim_sig){.exact = true, .body_length = DKIM_BODY_ALL};
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const struct dkim_tag *t = dkim_tags_find(&tags, rules[i].tag);
        enum dkim_flaw flaw = t != NULL           ? rules[i].read(&r, t)
                              : rules[i].required ? DKIM_FLAW_SYNTAX
                                                  : DKIM_FLAW_NONE;
        if (flaw != DKIM_FLAW_NONE) {
            return flaw;
        }
    }
    return DKIM_FLAW_NONE;
}
