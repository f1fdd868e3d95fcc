/* Thousands of messages, signed by the tests' signer, by libopendkim and by ourselves,
 * changed at random, judged by our verifier and by libopendkim. The verdicts must be
 * the same, but for the differences in the table below, each of which is wanted
 * (docs/filter-dkim.md) and must occur. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"

#include "dkim.h"
#include "testing/checker.h"
#include "testing/oracle.h"
#include "testing/seal_message.h"
#include "testing/signer.h"

#define DOMAIN     "example.org"
#define FIELDS_MAX 128
#define SAMPLES    10000u
#define SEALED     3000u

/* libopendkim is known to leak. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libopendkim\nleak:libcrypto";
}

struct world {
    struct or_lib *oracle;
    struct sg_key *rsa, *rsa2, *ed;
    char *pem;
    struct dkim_privkey *ours; /* the same key as rsa */
    unsigned seed;
};

struct sample {
    struct sg_text text;
    char *record;
    bool sha1, ed25519, record_changed;
};

struct message {
    struct or_field field[FIELDS_MAX];
    unsigned count;
    const char *body;
    size_t body_len;
};

static unsigned roll(struct world *w, unsigned sides)
{
    return (unsigned)rand_r(&w->seed) % sides;
}

static const char *pick(struct world *w, const char *const *from, size_t n)
{
    return from[roll(w, (unsigned)n)];
}
#define PICK(w, ...)                                                                   \
    pick(w, (const char *const[]){__VA_ARGS__},                                        \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* ---- generating ---- */

static void random_text(struct world *w, struct cm_buf *b, unsigned max, bool body)
{
    for (unsigned n = roll(w, max + 1); n > 0; n--) {
        switch (roll(w, 12)) {
        case 0:
        case 1:
            cm_buf_str(b, " ");
            break;
        case 2:
            cm_buf_str(b, "\t");
            break;
        case 3:
            cm_buf_str(b, body ? "\r\n" : "\r\n ");
            break;
        case 4:
            cm_buf_str(b, body ? "\r\n\r\n" : "\r\n\t x");
            break;
        default:
            cm_buf_fmt(b, "%c", '!' + (int)roll(w, 94));
        }
    }
}

static void random_message(struct world *w, struct cm_buf *b)
{
    unsigned count = 2 + roll(w, 8), from = roll(w, count);
    for (unsigned i = 0; i < count; i++) {
        const char *name = PICK(w, "To", "Subject", "Date", "X-One", "x-two", "TO",
                                "Received", "Message-ID", "MIME-Version");
        cm_buf_fmt(b, "%s:%s", i == from ? PICK(w, "From", "from", "FROM") : name,
                   PICK(w, " ", "", "  ", "\t", " "));
        if (i == from) { /* libopendkim wants to understand it */
            cm_buf_fmt(b, "%sa%s<u@" DOMAIN ">%s\r\n", PICK(w, "", "\r\n\t", "A  "),
                       PICK(w, " ", "  ", "\r\n ", "\t"), PICK(w, "", "", " ", "\t"));
        } else {
            random_text(w, b, 30, false);
            cm_buf_str(b, "x\r\n");
        }
    }
    if (roll(w, 20) == 0) {
        cm_buf_str(b, "From: twice@" DOMAIN "\r\n");
    }
    cm_buf_str(b, "\r\n");
    random_text(w, b, roll(w, 10) == 0 ? 3000 : 60, true);
    if (strcmp(b->data + b->len - 2, "\r\n") != 0) { /* SMTP ends no body without */
        cm_buf_str(b, "\r\n");
    }
}

static char *random_h(struct world *w)
{
    struct cm_buf b;
    cm_buf_init(&b, 4096);
    unsigned n = roll(w, 10), from = roll(w, 12);
    for (unsigned i = 0; i <= n; i++) {
        cm_buf_fmt(&b, "%s%s", i > 0 ? PICK(w, ":", " : ", ":") : "",
                   i == from % (n + 1) && from < 11
                       ? "from"
                       : PICK(w, "to", "subject", "date", "X-One", "x-two", "received",
                              "message-id", "absent", "From", "content-type"));
    }
    return cm_buf_steal(&b);
}

static char *random_tags(struct world *w)
{
    char t[64] = "";
    int64_t now = cm_now_wall_ms() / 1000;
    if (roll(w, 3) == 0) {
        long long at = (long long)now - 5000 + roll(w, 4) * 2000;
        snprintf(t, sizeof(t), "t=%lld; x=%lld; ", at,
                 (long long)now - 3000 + roll(w, 4) * 2000);
    }
    return cm_asprintf("%s%s%s%s", t,
                       PICK(w, "", "", "", "i=@" DOMAIN "; ", "i=a@Example.org; ",
                            "i=b@sub." DOMAIN "; ", "i=@example.com; "),
                       PICK(w, "", "", "", "q=dns/txt; ", "z=a|b; "),
                       PICK(w, "", "", "", "xy=1; "));
}

#define SPARSE "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", ""

static char *random_record(struct world *w, const struct sg_key *key, bool is_ed)
{
    char *p = sg_key_p(key);
    char *record = cm_asprintf(
        "%s%s%s%s%sp=%s%s", PICK(w, "v=DKIM1; ", "v=DKIM1;", "v=DKIM1; ", ""),
        is_ed ? (roll(w, 20) == 0 ? "" : "k=ed25519; ")
              : PICK(w, "k=rsa; ", "k=rsa;", ""),
        PICK(w, "", "", "", "s=email; ", "s=*; ", "s=web:email; ", "s=web; "),
        PICK(w, "", "", "", "t=s; ", "t=y; ", "t=y:s; "),
        PICK(w, "", "", "", "", "h=sha256; ", "h=sha1:sha256; ", "h=sha1; "),
        roll(w, 20) == 0 ? "" : p, PICK(w, SPARSE, SPARSE, "; n=1; n=2", "; v=DKIM1"));
    free(p);
    return record;
}

static struct sg_text by_libopendkim(struct world *w, const struct cm_buf *message);

static void make_sample(struct world *w, struct sample *s)
{
    struct cm_buf b;
    cm_buf_init(&b, 1 << 20);
    random_message(w, &b);
    *s = (struct sample){.sha1 = roll(w, 40) == 0, .ed25519 = roll(w, 6) == 0};
    const struct sg_key *key = s->ed25519 ? w->ed : w->rsa;
    if (roll(w, 3) == 0) {
        s->ed25519 = s->sha1 = false;
        s->text = by_libopendkim(w, &b);
        key = w->rsa;
    }
    if (s->text.data == NULL) {
        char *h = random_h(w), *tags = random_tags(w);
        struct sg_how how = {.key = key,
                             .domain = PICK(w, DOMAIN, "EXAMPLE.org"),
                             .selector = "sel",
                             .canon =
                                 PICK(w, NULL, "simple", "relaxed", "simple/simple",
                                      "simple/relaxed", "relaxed/simple",
                                      "relaxed/relaxed", "relaxed/relaxed"),
                             .h = h,
                             .tags = tags,
                             .alg = s->sha1 && !s->ed25519 ? "rsa-sha1" : NULL,
                             .body_length = roll(w, 6) == 0 ? (long)roll(w, 90) : -1,
                             .fold = roll(w, 2) == 0};
        s->text = sg_sign(&how, b.data, b.len);
        free(h);
        free(tags);
    }
    s->record = random_record(w, roll(w, 30) == 0 ? w->rsa2 : key, s->ed25519);
    cm_buf_clear(&b);
}

/* ---- changing ---- */

static void change(struct world *w, struct sample *s)
{
    static const char bytes[] = " \t\r\n;:=aA0./\x80@~";
    struct cm_buf b;
    size_t header = (size_t)(strstr(s->text.data, "\r\n\r\n") - s->text.data);
    size_t sig = (size_t)(strstr(s->text.data, " b=") - s->text.data);
    size_t limit = roll(w, 3) == 0 ? s->text.len : roll(w, 2) == 0 ? header : sig;
    size_t at = 16 + roll(w, (unsigned)(limit > 17 ? limit - 16 : 1));
    at = at < s->text.len ? at : s->text.len - 1;
    size_t n = 1 + roll(w, 3), left = s->text.len - at;
    n = n < left ? n : left;
    cm_buf_init(&b, 1 << 20);
    cm_buf_add(&b, s->text.data, at);
    char c = bytes[roll(w, sizeof(bytes) - 1)];
    switch (roll(w, 5)) {
    case 0: /* another byte */
        cm_buf_add(&b, &c, 1);
        cm_buf_add(&b, s->text.data + at + 1, left - 1);
        break;
    case 1: /* a byte more */
        cm_buf_add(&b, &c, 1);
        cm_buf_add(&b, s->text.data + at, left);
        break;
    case 2: /* some less */
        cm_buf_add(&b, s->text.data + at + n, left - n);
        break;
    case 3: /* some twice */
        cm_buf_add(&b, s->text.data + at, n);
        cm_buf_add(&b, s->text.data + at, left);
        break;
    default: /* more at the end */
        cm_buf_add(&b, s->text.data + at, left);
        cm_buf_str(&b, PICK(w, "\r\n", "\r\n\r\n", "x", " ", " \r\n", "y\r\n"));
    }
    free(s->text.data);
    s->text.len = b.len;
    s->text.data = cm_buf_steal(&b);
}

static void change_record(struct world *w, struct sample *s)
{
    size_t len = strlen(s->record), at = roll(w, (unsigned)len);
    char *text = cm_asprintf("%.*s%s%s", (int)at, s->record,
                             PICK(w, ";", " ", "A", "=", "; ;", "t=y;", "\\", "-"),
                             s->record + at + roll(w, 2));
    free(s->record);
    s->record = text;
    s->record_changed = true;
}

/* ---- judging ---- */

static bool stray_line_end(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((p[i] == '\r' && (i + 1 == len || p[i + 1] != '\n')) ||
            (p[i] == '\n' && (i == 0 || p[i - 1] != '\r'))) {
            return true;
        }
    }
    return false;
}

/* The field at p: its length without the last line end, 0 when it is none. */
static size_t field_length(const char *p)
{
    const char *e = p;
    while ((e = strstr(e, "\r\n")) != NULL && (e[2] == ' ' || e[2] == '\t')) {
        e += 2;
    }
    size_t name = strcspn(p, ": \t\r\n");
    name += strspn(p + name, " ");
    return e != NULL && name > 0 && p[name] == ':' && memchr(p, ';', name) == NULL
               ? (size_t)(e - p)
               : 0;
}

/* False when it is no message that an SMTP server would hand to a filter: libopendkim
 * and we need not agree on bare CR and LF, a body without line end, 8-bit headers, and
 * names with a semicolon, which h= cannot name, or a tab behind. */
static bool split(const struct sg_text *t, struct message *m)
{
    const char *p = t->data, *end = t->data + t->len;
    m->count = 0;
    if (stray_line_end(t->data, t->len) || memchr(t->data, '\0', t->len) != NULL ||
        t->len < 2 || strcmp(end - 2, "\r\n") != 0) {
        return false;
    }
    while (p < end && *p != '\r') {
        size_t n = field_length(p);
        if (n == 0 || m->count == FIELDS_MAX) {
            return false;
        }
        for (size_t i = 0; i < n; i++) {
            if ((unsigned char)p[i] >= 0x80) {
                return false;
            }
        }
        m->field[m->count++] = (struct or_field){p, n};
        p += n + 2;
    }
    m->body = p + 2;
    m->body_len = p < end ? (size_t)(end - m->body) : 0;
    return p < end;
}

static struct sg_text by_libopendkim(struct world *w, const struct cm_buf *text)
{
    struct message m;
    struct sg_text t = {text->data, text->len}, out = {0};
    char *value = NULL;
    if (split(&t, &m)) {
        value = or_sign(w->oracle, m.field, m.count, m.body, m.body_len, w->pem, "sel",
                        DOMAIN, roll(w, 2), roll(w, 2),
                        roll(w, 6) == 0 ? (long)roll(w, 60) : -1);
    }
    if (value != NULL) {
        struct cm_buf b;
        cm_buf_init(&b, 1 << 20);
        cm_buf_fmt(&b, "DKIM-Signature:%s\r\n", value);
        cm_buf_add(&b, text->data, text->len);
        out.len = b.len;
        out.data = cm_buf_steal(&b);
        free(value);
    }
    return out;
}

/* ---- the differences that are wanted ---- */

struct opinion {
    const struct sample *s;
    const struct message *m;
    bool us, them;
    const char *reason, *why;
};

static bool is_sha1(const struct opinion *o)
{
    return !o->us && strcmp(o->reason, "algorithm not accepted") == 0 && o->s->sha1;
}

static bool is_two_from(const struct opinion *o)
{
    unsigned from = 0;
    for (unsigned i = 0; i < o->m->count; i++) {
        from += strncasecmp(o->m->field[i].p, "from", 4) == 0;
    }
    return !o->us && strcmp(o->reason, "From not signed") == 0 && from > 1;
}

/* Whether a byte that base64 does not have stands in what begins at p. */
static bool stray_base64(const char *p, size_t len)
{
    for (size_t i = 0; i < len && p[i] != ';'; i++) {
        if (strchr(" \t\r\n+/=", p[i]) == NULL && !isalnum((unsigned char)p[i])) {
            return true;
        }
    }
    for (size_t i = 0; i + 1 < len && p[i] != ';'; i++) { /* padding in the middle */
        if (p[i] == '=' && strchr("; \t\r\n=", p[i + 1]) == NULL) {
            return true;
        }
    }
    return false;
}

static bool is_stray_in_signature(const struct opinion *o)
{
    const struct or_field *f = &o->m->field[0];
    bool stray = false;
    for (const char *p = f->p; p < f->p + f->len - 3; p++) {
        bool b = strchr(" \t;", p[0]) != NULL && strncmp(p + 1, "b=", 2) == 0;
        if (b || strncmp(p, "bh=", 3) == 0) {
            stray |= stray_base64(p + 3, f->len - (size_t)(p + 3 - f->p));
        }
    }
    return !o->us && strcmp(o->reason, "signature malformed") == 0 && stray;
}

static bool is_stray_in_key(const struct opinion *o)
{
    const char *p = strstr(o->s->record, "p=");
    return !o->us && strcmp(o->reason, "key record not usable") == 0 && p != NULL &&
           stray_base64(p + 2, strlen(p + 2));
}

/* We take all blanks out of a record first, pass over what is no tag, and do not look
 * at the parameters in front of an RSA key. */
static bool is_damaged_record(const struct opinion *o)
{
    return o->us && o->s->record_changed;
}

/* RFC 6376 3.2: the whole list is invalid then. */
static bool is_tag_twice(const struct opinion *o)
{
    char seen[256] = {0};
    const char *p = o->s->record;
    bool twice = false;
    for (; p != NULL; p = strchr(p, ';')) {
        p += strspn(p, "; ");
        twice |= p[0] != 0 && p[1] == '=' && seen[(unsigned char)p[0]]++ > 0;
    }
    return !o->us && strcmp(o->reason, "key record not usable") == 0 && twice;
}

static bool is_late_version(const struct opinion *o)
{
    return !o->us && strcmp(o->reason, "key record not usable") == 0 &&
           strstr(o->s->record, "v=DKIM1") > o->s->record;
}

/* It takes a= for what k= should have said. */
static bool is_other_type(const struct opinion *o)
{
    return !o->us && strcmp(o->reason, "key record not usable") == 0 && o->s->ed25519 &&
           strstr(o->s->record, "k=ed25519") == NULL;
}

static struct {
    const char *name;
    bool (*is)(const struct opinion *o);
    unsigned seen;
} differences[] = {
    {"rsa-sha1 is refused", is_sha1, 0},
    {"every From must be signed", is_two_from, 0},
    {"bytes foreign to base64 in a signature", is_stray_in_signature, 0},
    {"bytes foreign to base64 in a key", is_stray_in_key, 0},
    {"records damaged beside the key", is_damaged_record, 0},
    {"a tag twice in a record", is_tag_twice, 0},
    {"v= must come first in a record", is_late_version, 0},
    {"k= must fit a=", is_other_type, 0},
};
#define DIFFERENCES (sizeof(differences) / sizeof(differences[0]))

static bool wanted(const struct opinion *o)
{
    for (size_t i = 0; i < DIFFERENCES; i++) {
        if (differences[i].is(o)) {
            differences[i].seen++;
            return true;
        }
    }
    return false;
}

static struct opinion ask_both(struct world *w, const struct sample *s,
                               const struct message *m)
{
    struct ck_zone z = {0};
    struct opinion o = {.s = s, .m = m};
    ck_set(&z, "sel._domainkey." DOMAIN, s->record, 1);
    struct dkim_keys *keys = ck_keys(&z);
    o.us = ck_verify(s->text.data, s->text.len, DOMAIN, keys, roll(w, 100),
                     &o.reason) == DKIM_PASS;
    dkim_keys_free(&keys);
    o.them = or_verify(w->oracle, m->field, m->count, m->body, m->body_len, DOMAIN,
                       s->record, &o.why);
    return o;
}

static void test_generated(void **state)
{
    struct world *w = *state;
    unsigned pass = 0, fail = 0, skipped = 0;
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct sample s;
        struct message m;
        make_sample(w, &s);
        if (i % 3 == 1) {
            change(w, &s);
        }
        if (i % 9 == 2) {
            change_record(w, &s);
        }
        if (split(&s.text, &m)) {
            struct opinion o = ask_both(w, &s, &m);
            if (o.us != o.them && !wanted(&o)) {
                fail_msg("we: %s (%s), libopendkim: %s (%s)\n%s\n\n%s",
                         o.us ? "pass" : "fail", o.reason, o.them ? "pass" : "fail",
                         o.why, s.record, s.text.data);
            }
            pass += o.us && o.them;
            fail += !o.us && !o.them;
        } else {
            skipped++;
        }
        free(s.text.data);
        free(s.record);
    }
    printf("%u messages: both pass %u, both fail %u, no messages %u\n", SAMPLES, pass,
           fail, skipped);
    for (size_t i = 0; i < DIFFERENCES; i++) {
        printf("%s: %u\n", differences[i].name, differences[i].seen);
        assert_true(differences[i].seen > 0);
    }
    assert_true(pass > SAMPLES / 5 && fail > SAMPLES / 5);
}

/* ---- what we sign ---- */

/* Fields that are signed, once or several times, in any case, folded, empty, 8-bit. */
static void random_letter(struct world *w, struct cm_buf *b)
{
    for (unsigned n = roll(w, 9); n > 0; n--) {
        cm_buf_fmt(b, "%s:%s",
                   PICK(w, "To", "TO", "cc", "Reply-To", "Autocrypt", "autoCRYPT",
                        "Content-Type", "References", "In-Reply-To", "List-Id",
                        "List-Post", "Resent-From", "Resent-Date", "Sender",
                        "DKIM-Filter", "X-Signed", "Subject", "Subject "),
                   PICK(w, " ", "", "\t", " \r\n\t", "  "));
        if (roll(w, 6) > 0) {
            random_text(w, b, 40, false);
        }
        cm_buf_str(b, PICK(w, "x\r\n", "x \r\n", "x\t\r\n", "\xc3\xa4x\r\n",
                           "=?utf-8?q?=E4?=x\r\n"));
    }
    random_message(w, b);
    if (roll(w, 8) == 0) { /* nothing behind the empty line, or only line ends */
        b->len = (size_t)(strstr(b->data, "\r\n\r\n") + 4 - b->data);
        b->data[b->len] = '\0';
        cm_buf_str(b, PICK(w, "", "\r\n", "\r\n\r\n", " \r\n"));
    }
    if (roll(w, 4) == 0) {
        cm_buf_str(b, PICK(w, "\r\n", "\r\n\r\n", "\t \r\n", ".\r\n", "\xff\xfe\r\n"));
    }
}

static void make_sealed(struct world *w, struct sample *s)
{
    struct cm_buf b;
    struct cm_err err;
    const struct dkim_sign_as as = {.key = w->ours,
                                    .domain = DOMAIN,
                                    .selector = "sel",
                                    .now_s = cm_now_wall_ms() / 1000};
    cm_buf_init(&b, 1 << 20);
    random_letter(w, &b);
    *s = (struct sample){.record = sg_key_record(w->rsa)};
    assert_int_equal(seal_message(&as, b.data, b.len, roll(w, 50), &s->text.data,
                                  &s->text.len, &err),
                     0);
    cm_buf_clear(&b);
}

static void split_sealed(const struct sg_text *t, struct message *m)
{
    const char *p = t->data;
    for (m->count = 0; *p != '\r'; p += m->field[m->count++].len + 2) {
        assert_true(m->count < FIELDS_MAX);
        m->field[m->count] = (struct or_field){p, field_length(p)};
        assert_true(m->field[m->count].len > 0);
    }
    m->body = p + 2;
    m->body_len = t->len - (size_t)(m->body - t->data);
}

/* libopendkim finds good what we sign, and both agree on what became of it. */
static void test_ours(void **state)
{
    struct world *w = *state;
    unsigned changed = 0, refuted = 0;
    for (unsigned i = 0; i < SEALED; i++) {
        struct sample s;
        struct message m;
        make_sealed(w, &s);
        split_sealed(&s.text, &m);
        struct opinion o = ask_both(w, &s, &m);
        if (!o.us || !o.them) {
            fail_msg("we: %d (%s), libopendkim: %d (%s)\n%s", o.us, o.reason, o.them,
                     o.why, s.text.data);
        }
        change(w, &s);
        if (split(&s.text, &m)) {
            o = ask_both(w, &s, &m);
            if (o.us != o.them && !wanted(&o)) {
                fail_msg("changed; we: %d (%s), libopendkim: %d (%s)\n%s", o.us,
                         o.reason, o.them, o.why, s.text.data);
            }
            changed++;
            refuted += !o.us;
        }
        free(s.text.data);
        free(s.record);
    }
    printf("%u signed by us pass; of %u changed ones %u do not\n", SEALED, changed,
           refuted);
    assert_true(changed > SEALED / 5 && refuted > changed / 3);
}

/* A valid signature behind foreign ones whose keys are not there. */
static void test_foreign(void **state)
{
    struct world *w = *state;
    static const char message[] =
        "From: a@" DOMAIN "\r\nTo: b@example.net\r\n\r\nHi\r\n";
    struct sg_how ours = {
        .key = w->rsa, .domain = DOMAIN, .selector = "sel", .body_length = -1};
    struct sample s = {.text = sg_sign(&ours, message, sizeof(message) - 1),
                       .record = sg_key_record(w->rsa)};
    for (int foreign = 0; foreign < 10; foreign++) {
        struct message m;
        assert_true(split(&s.text, &m));
        struct opinion o = ask_both(w, &s, &m);
        printf("behind %d foreign: we %d, libopendkim %d (%s)\n", foreign, o.us, o.them,
               o.why);
        assert_true(o.us);
        struct sg_how other = {.key = w->rsa2,
                               .domain = "example.net",
                               .selector = "sel",
                               .body_length = -1};
        struct sg_text more = sg_sign(&other, s.text.data, s.text.len);
        free(s.text.data);
        s.text = more;
    }
    free(s.text.data);
    free(s.record);
}

static int begin(void **state)
{
    struct world *w = cm_calloc(1, sizeof(*w));
    w->oracle = or_open(OPENDKIM_LIBRARY);
    w->rsa = sg_key_rsa(1024);
    w->rsa2 = sg_key_rsa(1024);
    w->ed = sg_key_ed25519();
    w->pem = sg_key_pem(w->rsa);
    struct cm_err err;
    w->ours = dkim_privkey_read(w->pem, strlen(w->pem), &err);
    cm_assert(w->ours != NULL);
    const char *seed = getenv("DKIM_ORACLE_SEED"); /* for longer hunts */
    w->seed = seed != NULL ? (unsigned)strtoul(seed, NULL, 10) : 1;
    *state = w;
    return 0;
}

static int end(void **state)
{
    struct world *w = *state;
    or_close(&w->oracle);
    sg_key_free(&w->rsa);
    sg_key_free(&w->rsa2);
    sg_key_free(&w->ed);
    dkim_privkey_free(&w->ours);
    free(w->pem);
    free(w);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_ours),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
