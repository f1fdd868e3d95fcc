#include "spf.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "txt.h"

#define LOOKUPS_MAX 10
#define VOIDS_MAX   2
#define MX_MAX      10
#define DEPTH_MAX   12
#define NAME_MAX_   256
#define TERM_MAX    512

struct spf {
    op_spf_ask ask;
    void *ctx;
    const char *address;
    unsigned char ip[16];
    bool v6;
    int lookups, voids, depth;
    char *why;
    size_t size;
};

static enum op_spf check_record(struct spf *s, const char *record, const char *domain);

const char *op_spf_name(enum op_spf result)
{
    static const char *const names[] = {"none",     "neutral",   "pass",     "fail",
                                        "softfail", "temperror", "permerror"};
    return names[result];
}

/* What one mechanism comes to, or an error that ends all. */
enum match { NO, YES, TEMP, PERM };

static enum match wrong(struct spf *s, const char *term, const char *what)
{
    if (s->why[0] == '\0') {
        snprintf(s->why, s->size, "%.200s: %s", term, what);
    }
    return PERM;
}

/* ---- lookups ---- */

static enum match look(struct spf *s, const char *term, const char *name,
                       const char *type, struct op_answers *out)
{
    out->count = 0;
    if (s->ask(name, type, out, s->ctx) != 0) {
        return TEMP;
    }
    if (out->count == 0 && ++s->voids > VOIDS_MAX) {
        return wrong(s, term, "more than two lookups without a result");
    }
    return YES;
}

static enum match count_lookup(struct spf *s, const char *term)
{
    return ++s->lookups > LOOKUPS_MAX ? wrong(s, term, "more than ten lookups") : YES;
}

/* ---- addresses ---- */

static bool covers(const struct spf *s, const char *address, int bits)
{
    unsigned char net[16];
    int n = bits / 8, rest = bits % 8;

    if (inet_pton(s->v6 ? AF_INET6 : AF_INET, address, net) != 1) {
        return false;
    }
    return memcmp(net, s->ip, (size_t)n) == 0 &&
           (rest == 0 || ((net[n] ^ s->ip[n]) & (0xff << (8 - rest)) & 0xff) == 0);
}

static bool read_bits(const char *text, int max, int *out)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (!isdigit((unsigned char)*text) || (*end != '\0' && *end != '/') || n > max) {
        return false;
    }
    *out = (int)n;
    return true;
}

/* ":name/24//64" behind a mechanism is cut at the prefixes. */
static bool split_prefixes(char *rest, int *v4, int *v6)
{
    char *slash = strchr(rest, '/'), *two = strstr(rest, "//");
    bool ok = true;

    *v4 = 32;
    *v6 = 128;
    if (two != NULL) {
        ok = read_bits(two + 2, 128, v6);
    }
    if (slash != NULL && slash != two) {
        ok = ok && read_bits(slash + 1, 32, v4);
    }
    if (slash != NULL) {
        *slash = '\0';
    }
    return ok;
}

static enum match match_hosts(struct spf *s, const char *term, const char *name,
                              int bits)
{
    struct op_answers a;
    enum match m = look(s, term, name, s->v6 ? "AAAA" : "A", &a);

    for (size_t i = 0; m == YES && i < a.count; i++) {
        if (covers(s, a.items[i], bits)) {
            op_answers_clear(&a);
            return YES;
        }
    }
    op_answers_clear(&a);
    return m == YES ? NO : m;
}

/* ---- macros ---- */

static void put_ip(const struct spf *s, bool reversed, char *out, size_t size)
{
    unsigned char nibbles[32];
    size_t n = s->v6 ? 32 : 4, used = 0;

    for (size_t i = 0; i < n; i++) {
        nibbles[i] = !s->v6       ? s->ip[i]
                     : i % 2 == 0 ? s->ip[i / 2] >> 4
                                  : s->ip[i / 2] & 15;
    }
    for (size_t i = 0; i < n && used + 5 < size; i++) {
        used += (size_t)snprintf(out + used, size - used, s->v6 ? "%s%x" : "%s%u",
                                 i > 0 ? "." : "", nibbles[reversed ? n - 1 - i : i]);
    }
}

/* "%{ir}" at *p; false: not one of those that are known. */
static bool put_macro(const struct spf *s, const char **p, const char *domain,
                      char *out, size_t size)
{
    const char *m = *p + 1;

    if (*m == '%' || *m == '_' || *m == '-') {
        snprintf(out, size, "%s", *m == '%' ? "%" : *m == '_' ? " " : "%20");
        *p = m + 1;
        return true;
    }
    if (m[0] != '{' || m[1] == '\0') {
        return false;
    }
    bool reversed = m[2] == 'r';
    if (m[2 + reversed] != '}' || (reversed && tolower((unsigned char)m[1]) != 'i')) {
        return false;
    }
    switch (tolower((unsigned char)m[1])) {
    case 'd':
    case 'o':
    case 'h':
        snprintf(out, size, "%s", domain);
        break;
    case 's':
        snprintf(out, size, "postmaster@%s", domain);
        break;
    case 'i':
        put_ip(s, reversed, out, size);
        break;
    case 'v':
        snprintf(out, size, "%s", s->v6 ? "ip6" : "in-addr");
        break;
    default:
        return false;
    }
    *p = m + 3 + reversed;
    return true;
}

/* spec ":NAME", "=NAME" or "": the domain itself. */
static bool target(const struct spf *s, const char *spec, const char *domain,
                   char out[NAME_MAX_])
{
    size_t n = 0;

    out[0] = '\0';
    if (*spec == '\0') {
        snprintf(out, NAME_MAX_, "%s", domain);
        return true;
    }
    for (const char *p = spec + 1; *p != '\0';) {
        if (n + 1 >= NAME_MAX_) {
            return false;
        }
        if (*p != '%') {
            out[n++] = *p++;
            out[n] = '\0';
        } else if (!put_macro(s, &p, domain, out + n, NAME_MAX_ - n)) {
            return false;
        }
        n = strlen(out);
    }
    if (n > 0 && out[n - 1] == '.') {
        out[--n] = '\0';
    }
    return n > 0;
}

/* ---- mechanisms ---- */

static enum match match_all(struct spf *s, const char *term, char *rest, const char *d)
{
    (void)d;
    return *rest == '\0' ? YES : wrong(s, term, "takes nothing behind it");
}

static enum match match_ip(struct spf *s, const char *term, char *rest, bool v6)
{
    unsigned char a[16];
    char *slash = strchr(rest, '/');
    int bits = v6 ? 128 : 32;

    if (slash != NULL) {
        *slash = '\0';
    }
    if (*rest != ':' || inet_pton(v6 ? AF_INET6 : AF_INET, rest + 1, a) != 1 ||
        (slash != NULL && !read_bits(slash + 1, bits, &bits))) {
        return wrong(s, term, "not an address or network");
    }
    return s->v6 == v6 && covers(s, rest + 1, bits) ? YES : NO;
}

static enum match match_ip4(struct spf *s, const char *term, char *rest, const char *d)
{
    (void)d;
    return match_ip(s, term, rest, false);
}

static enum match match_ip6(struct spf *s, const char *term, char *rest, const char *d)
{
    (void)d;
    return match_ip(s, term, rest, true);
}

static enum match match_a(struct spf *s, const char *term, char *rest, const char *d)
{
    char name[NAME_MAX_];
    int v4, v6;

    if (!split_prefixes(rest, &v4, &v6) || !target(s, rest, d, name)) {
        return wrong(s, term, "not understood");
    }
    enum match m = count_lookup(s, term);
    return m == YES ? match_hosts(s, term, name, s->v6 ? v6 : v4) : m;
}

static enum match match_mx(struct spf *s, const char *term, char *rest, const char *d)
{
    char name[NAME_MAX_];
    struct op_answers mx = {.count = 0};
    int v4, v6;

    if (!split_prefixes(rest, &v4, &v6) || !target(s, rest, d, name)) {
        return wrong(s, term, "not understood");
    }
    enum match m = count_lookup(s, term);
    m = m == YES ? look(s, term, name, "MX", &mx) : m;
    if (m == YES && mx.count > MX_MAX) {
        m = wrong(s, term, "more than ten names");
    }
    enum match found = m == YES ? NO : m;
    for (size_t i = 0; found == NO && i < mx.count; i++) {
        const char *host = strchr(mx.items[i], ' ');
        char bare[NAME_MAX_];
        size_t n = host != NULL ? strcspn(host + 1, " ") : 0;
        if (n > 1 && n < NAME_MAX_) {
            snprintf(bare, sizeof(bare), "%.*s", (int)n - (host[n] == '.'), host + 1);
            found = match_hosts(s, term, bare, s->v6 ? v6 : v4);
        }
    }
    op_answers_clear(&mx);
    return found;
}

static enum match match_exists(struct spf *s, const char *term, char *rest,
                               const char *d)
{
    char name[NAME_MAX_];
    struct op_answers a = {.count = 0};

    if (*rest != ':' || !target(s, rest, d, name)) {
        return wrong(s, term, "not understood");
    }
    enum match m = count_lookup(s, term);
    m = m == YES ? look(s, term, name, "A", &a) : m;
    if (m == YES && a.count == 0) {
        m = NO;
    }
    op_answers_clear(&a);
    return m;
}

static enum match match_ptr(struct spf *s, const char *term, char *rest, const char *d)
{
    (void)rest;
    (void)d;
    return count_lookup(s, term) == YES ? NO : PERM;
}

/* The one SPF record of another domain, checked too. */
static enum op_spf check_domain(struct spf *s, const char *term, const char *name)
{
    struct op_answers a = {.count = 0};
    char text[OP_TXT_MAX], record[OP_TXT_MAX];
    size_t found = 0;
    enum match m = look(s, term, name, "TXT", &a);

    for (size_t i = 0; m == YES && i < a.count; i++) {
        op_txt_join(a.items[i], text, sizeof(text));
        if (op_txt_is(text, "v=spf1")) {
            memcpy(record, text, sizeof(record));
            found++;
        }
    }
    op_answers_clear(&a);
    if (m != YES) {
        return m == TEMP ? OP_SPF_TEMPERROR : OP_SPF_PERMERROR;
    }
    if (found != 1) {
        wrong(s, term, found == 0 ? "has no SPF record" : "has several SPF records");
        return found == 0 ? OP_SPF_NONE : OP_SPF_PERMERROR;
    }
    return check_record(s, record, name);
}

static enum match match_include(struct spf *s, const char *term, char *rest,
                                const char *d)
{
    char name[NAME_MAX_];

    if (*rest != ':' || !target(s, rest, d, name)) {
        return wrong(s, term, "not understood");
    }
    if (count_lookup(s, term) != YES) {
        return PERM;
    }
    switch (check_domain(s, term, name)) {
    case OP_SPF_PASS:
        return YES;
    case OP_SPF_TEMPERROR:
        return TEMP;
    case OP_SPF_PERMERROR:
    case OP_SPF_NONE:
        return wrong(s, term, "cannot be read");
    default:
        return NO;
    }
}

static const struct mechanism {
    const char *name;
    enum match (*match)(struct spf *s, const char *term, char *rest, const char *d);
} mechanisms[] = {
    {"all", match_all},       {"include", match_include},
    {"ip4", match_ip4},       {"ip6", match_ip6},
    {"exists", match_exists}, {"ptr", match_ptr},
    {"mx", match_mx},         {"a", match_a},
};

static enum match run_term(struct spf *s, const char *term, const char *domain)
{
    char rest[TERM_MAX];

    for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
        size_t n = strlen(mechanisms[i].name);
        if (strncasecmp(term, mechanisms[i].name, n) == 0 &&
            strchr(":/", term[n]) != NULL) {
            snprintf(rest, sizeof(rest), "%s", term + n);
            return mechanisms[i].match(s, term, rest, domain);
        }
    }
    return wrong(s, term, "no such mechanism");
}

/* ---- a record ---- */

static bool is_modifier(const char *term)
{
    size_t n = strcspn(term, "=:/");
    return n > 0 && term[n] == '=';
}

static enum op_spf quality(char sign)
{
    return sign == '-'   ? OP_SPF_FAIL
           : sign == '~' ? OP_SPF_SOFTFAIL
           : sign == '?' ? OP_SPF_NEUTRAL
                         : OP_SPF_PASS;
}

static enum op_spf redirect(struct spf *s, const char *term, const char *domain)
{
    char name[NAME_MAX_];

    if (!target(s, term + strlen("redirect"), domain, name)) {
        wrong(s, term, "not understood");
        return OP_SPF_PERMERROR;
    }
    if (count_lookup(s, term) != YES) {
        return OP_SPF_PERMERROR;
    }
    enum op_spf r = check_domain(s, term, name);
    return r == OP_SPF_NONE ? OP_SPF_PERMERROR : r;
}

static enum op_spf run_terms(struct spf *s, const char *record, const char *domain)
{
    char term[TERM_MAX], last[TERM_MAX] = "";

    for (const char *p = record + strcspn(record, " "); *p != '\0';) {
        p += strspn(p, " ");
        size_t n = strcspn(p, " ");
        if (n >= sizeof(term)) {
            wrong(s, "a term", "is too long");
            return OP_SPF_PERMERROR;
        }
        memcpy(term, p, n);
        term[n] = '\0';
        p += n;
        bool sign = n > 0 && strchr("+-~?", term[0]) != NULL;
        if (n == 0) {
            break;
        }
        if (!sign && is_modifier(term)) {
            if (strncasecmp(term, "redirect=", 9) == 0) {
                memcpy(last, term, sizeof(last));
            }
            continue;
        }
        enum match m = run_term(s, term + sign, domain);
        if (m != NO) {
            return m == YES    ? quality(term[0])
                   : m == TEMP ? OP_SPF_TEMPERROR
                               : OP_SPF_PERMERROR;
        }
    }
    return last[0] != '\0' ? redirect(s, last, domain) : OP_SPF_NEUTRAL;
}

static enum op_spf check_record(struct spf *s, const char *record, const char *domain)
{
    if (s->depth >= DEPTH_MAX) {
        wrong(s, domain, "includes itself");
        return OP_SPF_PERMERROR;
    }
    s->depth++;
    enum op_spf r = run_terms(s, record + strspn(record, " "), domain);
    s->depth--;
    return r;
}

enum op_spf op_spf_check(const char *record, const char *domain, const char *address,
                         op_spf_ask ask, void *ctx, char *why, size_t size)
{
    struct spf s = {.ask = ask,
                    .ctx = ctx,
                    .address = address,
                    .v6 = strchr(address, ':') != NULL,
                    .why = why,
                    .size = size};

    why[0] = '\0';
    if (inet_pton(s.v6 ? AF_INET6 : AF_INET, address, s.ip) != 1) {
        wrong(&s, address, "not an address");
        return OP_SPF_PERMERROR;
    }
    enum op_spf r = check_record(&s, record, domain);
    if (r != OP_SPF_PERMERROR) {
        why[0] = '\0';
    }
    return r;
}
