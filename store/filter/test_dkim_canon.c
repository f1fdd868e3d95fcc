/* Canonical forms: the examples of RFC 6376 3.4.5, every place to split a body, and the
 * body hashes of several signatures at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/mem.h"

#include "dkim_body.h"
#include "dkim_canon.h"
#include "testing/signer.h"

static void field_is(bool relaxed, const char *name, const char *value,
                     const char *want)
{
    struct cm_buf b;
    cm_buf_init(&b, 4096);
    dkim_canon_field(&b, relaxed, name, strlen(name), value, strlen(value));
    assert_string_equal(b.data, want);
    cm_buf_clear(&b);
}

static void test_fields(void **state)
{
    (void)state;
    field_is(true, "A", " X", "a:X");
    field_is(true, "B ", " Y\t\r\n\tZ  ", "b:Y Z");
    field_is(true, "B ", " Y\t\n\tZ  ", "b:Y Z");
    field_is(false, "A", " X", "A: X");
    field_is(false, "B ", " Y\t\r\n\tZ  ", "B : Y\t\r\n\tZ  ");
    field_is(false, "B ", " Y\t\n\tZ  ", "B : Y\t\r\n\tZ  ");
    field_is(true, "Subject", "", "subject:");
    field_is(true, "Subject", " \t\r\n ", "subject:");
    field_is(false, "Subject", "", "Subject:");
    field_is(true, "X-\xc3\x84", "\t\xc3\xa4  \xc3\xb6",
             "x-\xc3\x84:\xc3\xa4 \xc3\xb6");
    field_is(true, "A", "b\rc", "a:b\rc"); /* no line end, so it is text */
}

static void gather(void *ctx, const void *data, size_t len)
{
    assert_true(len <= DKIM_CANON_CHUNK);
    cm_buf_add(ctx, data, len);
}

/* Feeds [0,a), [a,b), [b,len). */
static void body_is(bool relaxed, const char *body, size_t len, size_t a, size_t b,
                    const char *want, size_t want_len)
{
    struct dkim_canon c;
    struct cm_buf out;
    cm_buf_init(&out, 1 << 20);
    dkim_canon_begin(&c, relaxed, gather, &out);
    dkim_canon_body(&c, body, a);
    dkim_canon_body(&c, body + a, b - a);
    dkim_canon_body(&c, body + b, len - b);
    dkim_canon_end(&c);
    if (out.len != want_len || memcmp(out.data, want, want_len) != 0) {
        fail_msg("%s, split at %zu and %zu: \"%s\" gives \"%s\", not \"%s\"",
                 relaxed ? "relaxed" : "simple", a, b, body, out.data, want);
    }
    cm_buf_clear(&out);
}

static void split_everywhere(bool relaxed, const char *body, const char *want)
{
    size_t len = strlen(body);
    for (size_t a = 0; a <= len; a++) {
        for (size_t b = a; b <= len; b++) {
            body_is(relaxed, body, len, a, b, want, strlen(want));
        }
    }
}

static const struct {
    const char *body, *simple, *relaxed;
} bodies[] = {
    {" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"},
    {"", "\r\n", ""},
    {"\r\n", "\r\n", ""},
    {"\r\n\r\n\r\n", "\r\n", ""},
    {" \t\r\n \r\n", " \t\r\n \r\n", ""},
    {" \t", " \t\r\n", ""},
    {"a", "a\r\n", "a\r\n"},
    {"a ", "a \r\n", "a\r\n"},
    {"a\r\n \r\n\r\nb\t\tc \r\n\t\r\n", "a\r\n \r\n\r\nb\t\tc \r\n\t\r\n",
     "a\r\n\r\n\r\nb c\r\n"},
    {"\r\n\r\na", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
    {"a\r", "a\r\r\n", "a\r\r\n"},
    {"a \r\r\n", "a \r\r\n", "a \r\r\n"},
    {"a\nb \n\r\n", "a\nb \n\r\n", "a\nb \n\r\n"},
    {"a\r\n\r", "a\r\n\r\r\n", "a\r\n\r\r\n"},
    {" \r \r\n", " \r \r\n", " \r\r\n"},
};

static void test_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        split_everywhere(false, bodies[i].body, bodies[i].simple);
        split_everywhere(true, bodies[i].body, bodies[i].relaxed);
        for (int relaxed = 0; relaxed < 2; relaxed++) { /* the test's own signer too */
            struct sg_text t =
                sg_canon_body(relaxed, bodies[i].body, strlen(bodies[i].body));
            assert_string_equal(t.data, relaxed ? bodies[i].relaxed : bodies[i].simple);
            free(t.data);
        }
    }
}

/* Random bodies of the bytes that matter, against the whole-text form. */
static void test_random_bodies(void **state)
{
    (void)state;
    static const char alphabet[] = "a \t\r\n\n\r.";
    unsigned seed = 6376;
    for (int round = 0; round < 20000; round++) {
        char body[64];
        size_t len = (size_t)rand_r(&seed) % sizeof(body);
        for (size_t i = 0; i < len; i++) {
            unsigned pick = (unsigned)rand_r(&seed) % 9;
            body[i] = pick < 8 ? alphabet[pick] : 'b';
            if (body[i] == '\r' && i + 1 < len && rand_r(&seed) % 4 != 0) {
                body[++i] = '\n';
            }
        }
        size_t a = (size_t)rand_r(&seed) % (len + 1);
        size_t b = a + (size_t)rand_r(&seed) % (len - a + 1);
        for (int relaxed = 0; relaxed < 2; relaxed++) {
            struct sg_text t = sg_canon_body(relaxed, body, len);
            body_is(relaxed, body, len, a, b, t.data, t.len);
            free(t.data);
        }
    }
}

static void test_long_bodies(void **state)
{
    (void)state;
    size_t len = 3 * DKIM_CANON_CHUNK + 5;
    char *body = cm_malloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        body[i] = i % 79 == 77 ? '\r' : i % 79 == 78 ? '\n' : i % 7 == 0 ? ' ' : 'x';
    }
    body[len] = '\0';
    for (int relaxed = 0; relaxed < 2; relaxed++) {
        struct sg_text t = sg_canon_body(relaxed, body, len);
        for (size_t a = 0; a < len; a += 509) {
            body_is(relaxed, body, len, a, len - a / 2 > a ? len - a / 2 : a, t.data,
                    t.len);
        }
        free(t.data);
    }
    free(body);
}

static void hash_is(const unsigned char *hash, const char *text, size_t len)
{
    unsigned char want[DKIM_HASH_SIZE];
    struct dkim_hash *h = dkim_hash_new();
    dkim_hash_add(h, text, len);
    dkim_hash_take(h, want);
    dkim_hash_free(&h);
    assert_non_null(hash);
    assert_memory_equal(hash, want, sizeof(want));
}

static void test_hashes(void **state)
{
    (void)state;
    static const char body[] = "one  two \r\nthree\r\n\r\n";
    static const char simple[] = "one  two \r\nthree\r\n",
                      relaxed[] = "one two\r\nthree\r\n";
    for (size_t chunk = 1; chunk < sizeof(body); chunk++) {
        struct dkim_body *b = dkim_body_new();
        unsigned all = dkim_body_want(b, true, DKIM_BODY_ALL);
        unsigned five = dkim_body_want(b, false, 5);
        unsigned none = dkim_body_want(b, false, 0);
        unsigned whole = dkim_body_want(b, true, sizeof(relaxed) - 1);
        unsigned over = dkim_body_want(b, true, sizeof(relaxed));
        unsigned seven = dkim_body_want(b, true, 7);
        unsigned again = dkim_body_want(b, true, 7);
        unsigned rest = dkim_body_want(b, false, DKIM_BODY_ALL);
        for (size_t at = 0; at < sizeof(body) - 1; at += chunk) {
            size_t left = sizeof(body) - 1 - at;
            dkim_body_add(b, body + at, left < chunk ? left : chunk);
        }
        dkim_body_end(b);
        hash_is(dkim_body_hash(b, all), relaxed, sizeof(relaxed) - 1);
        hash_is(dkim_body_hash(b, whole), relaxed, sizeof(relaxed) - 1);
        hash_is(dkim_body_hash(b, five), simple, 5);
        hash_is(dkim_body_hash(b, none), "", 0);
        hash_is(dkim_body_hash(b, seven), relaxed, 7);
        hash_is(dkim_body_hash(b, again), relaxed, 7);
        hash_is(dkim_body_hash(b, rest), simple, sizeof(simple) - 1);
        assert_null(dkim_body_hash(b, over));
        dkim_body_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_random_bodies), cmocka_unit_test(test_long_bodies),
        cmocka_unit_test(test_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
