/* Tags, times, keys, DNS trouble and limits: relay-spec.md 2.9.8, rule by rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"

#include "testing/usual.h"

static void changed_is(const struct sg_how *how, const char *old, const char *new,
                       enum dkim_verdict want)
{
    struct ck_zone z = us_zone();
    const char *reason;
    struct sg_text t = sg_sign(how, MESSAGE, strlen(MESSAGE));
    struct sg_text u = us_replaced(t, old, new);
    enum dkim_verdict v = us_check(&z, u, &reason);
    if (v != want) {
        fail_msg("%s for %s: verdict %d, %s", new, old, v, reason);
    }
    free(t.data);
    free(u.data);
}

/* What relaxed allows, and simple does not. */
/* ---- tags ---- */

static void tags_are(const char *tags, enum dkim_verdict want, const char *why)
{
    struct sg_how how = us_by(us.ed);
    how.tags = tags;
    us_signed_is(how, want, why);
}

static void test_tags(void **state)
{
    (void)state;
    tags_are("i=@example.org;", DKIM_PASS, "valid");
    tags_are("i=alice@Example.ORG;", DKIM_PASS, "valid");
    tags_are("i=\"a=40b\"@mail.example.org;", DKIM_PASS, "valid");
    tags_are("i=x@example.org@example.org;", DKIM_PASS, "valid");
    tags_are("i=@org;", DKIM_FAIL, "i= outside of d=");
    tags_are("i=@xexample.org;", DKIM_FAIL, "i= outside of d=");
    tags_are("i=@example.org.evil;", DKIM_FAIL, "i= outside of d=");
    tags_are("i=example.org;", DKIM_FAIL, "signature malformed");
    tags_are("i=a=4@example.org;", DKIM_FAIL, "signature malformed");
    tags_are("q=dns/txt;", DKIM_PASS, "valid");
    tags_are("q=x/y : dns/txt;", DKIM_PASS, "valid");
    tags_are("q=http/txt;", DKIM_FAIL, "signature malformed");
    tags_are("unknown = some thing; z=From:a|To:b;", DKIM_PASS, "valid");
    tags_are("unknown=\xc3\xa4;", DKIM_PASS, "valid");
    tags_are("empty=;", DKIM_PASS, "valid");
    tags_are("v=1;", DKIM_FAIL, "no signature of the From domain"); /* twice */
    tags_are("bad name=x;", DKIM_FAIL, "no signature of the From domain");
    tags_are("novalue;", DKIM_FAIL, "no signature of the From domain");
    tags_are(";", DKIM_FAIL, "no signature of the From domain");
    tags_are("t=soon;", DKIM_FAIL, "signature malformed");
    tags_are("t=;", DKIM_FAIL, "signature malformed");
    tags_are("x=-1;", DKIM_FAIL, "signature malformed");
    tags_are("t=20; x=20;", DKIM_FAIL, "signature malformed");
    tags_are("x=30; t=40;", DKIM_FAIL, "signature malformed");
    tags_are("l=;", DKIM_FAIL, "signature malformed");
    tags_are("l=x;", DKIM_FAIL, "signature malformed");
    tags_are("l=99999999999999999999999999;", DKIM_FAIL, "signature malformed");
    tags_are("x=99999999999999999999999999;", DKIM_PASS, "valid");
}

static void edited_is(const char *old, const char *new, const char *why)
{
    struct ck_zone z = us_zone();
    struct sg_how how = us_by(us.ed);
    struct sg_text t = sg_sign(&how, MESSAGE, strlen(MESSAGE));
    struct sg_text u = us_replaced(t, old, new);
    const char *reason;
    enum dkim_verdict v = us_check(&z, u, &reason);
    if (v != DKIM_FAIL || strcmp(reason, why) != 0) {
        fail_msg("%s for %s: %d, %s", new, old, v, reason);
    }
    free(t.data);
    free(u.data);
}

static void test_missing_and_malformed(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"v=1; ", ""},
        {"v=1; ", "v=2; "},
        {"v=1; ", "v=; "},
        {"a=ed25519-sha256;", ""},
        {"s=e;", ""},
        {"s=e;", "s=;"},
        {"s=e;", "s=e..f;"},
        {"s=e;", "s=e f;"},
        {"s=e;", "s=e/f;"},
        {"s=e;", "s=.e;"},
        {"s=e;", "s=e234567890123456789012345678901234567890123456789012345678901234;"},
        {"bh=", "bx="},
        {"bh=", "bh=AAAA"},
        {"bh=", "bh=!"},
        {"; b=", "; b=!"},
        {"; b=", "; b=; bx="},
        {"h=from:to", "hx=from:to"},
        {"h=from:to", "h=from::to"},
        {"h=from:to", "h=from:t o"},
        {"h=from:to:subject", "h="},
        {"c=relaxed/relaxed", "c=relaxed/nowsp"},
        {"c=relaxed/relaxed", "c=relaxed/"},
        {"c=relaxed/relaxed", "c="},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        edited_is(cases[i][0], cases[i][1], "signature malformed");
    }
    edited_is("h=from:to", "h=fram:to", "From not signed");
    edited_is("a=ed25519-sha256", "a=rsa-sha1", "algorithm not accepted");
    edited_is("a=ed25519-sha256", "a=rsa-sha512", "algorithm not accepted");
    edited_is("a=ed25519-sha256", "a=", "algorithm not accepted");
    edited_is("a=ed25519-sha256", "a=rsa-sha256", "key record not usable");
    edited_is("s=e;", "s=x;", "no key in DNS");
}

static void test_h_limit(void **state)
{
    (void)state;
    struct cm_buf h;
    cm_buf_init(&h, 1 << 16);
    cm_buf_str(&h, "from");
    for (int i = 1; i < 256; i++) {
        cm_buf_fmt(&h, ":x%d", i);
    }
    struct sg_how how = us_by(us.ed);
    how.h = h.data;
    us_signed_is(how, DKIM_PASS, "valid");
    cm_buf_str(&h, ":to");
    how.h = h.data;
    us_signed_is(how, DKIM_FAIL, "signature malformed");
    cm_buf_clear(&h);
}

static void test_length(void **state)
{
    (void)state;
    struct sg_how how = us_by(us.ed);
    how.body_length = 5;
    us_signed_is(how, DKIM_PASS, "valid");
    changed_is(&how, "Bye", "See you", DKIM_PASS);
    changed_is(&how, "Hello", "Hallo", DKIM_FAIL);
    how.body_length = 0;
    changed_is(&how, "Hello", "Hallo", DKIM_PASS);
    how.body_length = strlen("Hello world\r\n\r\nBye\r\n");
    us_signed_is(how, DKIM_PASS, "valid");
    how.body_length++;
    us_signed_is(how, DKIM_FAIL, "body changed");
}

static void times_are(int64_t t_s, int64_t x_s, enum dkim_verdict want, const char *why)
{
    int64_t now = cm_now_wall_ms() / 1000;
    char tags[128] = "";
    size_t n = 0;
    if (t_s != 0) {
        n += (size_t)snprintf(tags, sizeof(tags), "t=%lld; ", (long long)(now + t_s));
    }
    if (x_s != 0) {
        snprintf(tags + n, sizeof(tags) - n, "x=%lld; ", (long long)(now + x_s));
    }
    tags_are(tags, want, why);
}

static void test_times(void **state)
{
    (void)state;
    times_are(-86400, 86400, DKIM_PASS, "valid");
    times_are(290, 0, DKIM_PASS, "valid");
    times_are(310, 0, DKIM_FAIL, "signature from the future");
    times_are(0, -290, DKIM_PASS, "valid");
    times_are(0, -310, DKIM_FAIL, "signature expired");
    times_are(-1000, -310, DKIM_FAIL, "signature expired");
    cm_clock_shift(-400000);
    times_are(310, 0, DKIM_FAIL, "signature from the future");
    cm_clock_shift(0);
}

/* ---- keys ---- */

static void key_is(const char *name, const char *record, int result, struct sg_how how,
                   enum dkim_verdict want, const char *why)
{
    struct ck_zone z = us_zone();
    ck_set(&z, name, record, result);
    struct sg_text t = sg_sign(&how, MESSAGE, strlen(MESSAGE));
    assert_verdict(&z, t, want, why);
    free(t.data);
}

static void test_keys(void **state)
{
    (void)state;
    struct sg_how how = us_by(us.rsa);
    char *p = sg_key_p(us.rsa);
    char *strict = cm_asprintf("v=DKIM1; k=rsa; p=%s; s=email; t=s", p);
    char *testing = cm_asprintf("v=DKIM1; t=y; p=%s", p);
    char *other_record = sg_key_record(us.other);
    key_is(RSA_NAME, strict, 1, how, DKIM_PASS, "valid");
    key_is(RSA_NAME, testing, 1, how, DKIM_PASS, "valid");
    key_is(RSA_NAME, other_record, 1, how, DKIM_FAIL, "signature does not fit the key");
    key_is(RSA_NAME, "v=DKIM1; p=", 1, how, DKIM_FAIL, "key revoked");
    key_is(RSA_NAME, "v=spf1 -all", 1, how, DKIM_FAIL, "key record not usable");
    key_is(RSA_NAME, us.ed_record, 1, how, DKIM_FAIL, "key record not usable");
    key_is(RSA_NAME, NULL, 0, how, DKIM_FAIL, "no key in DNS");
    key_is(RSA_NAME, NULL, -1, how, DKIM_RETRY, "key lookup failed");
    how.tags = "i=@mail.example.org;";
    key_is(RSA_NAME, us.rsa_record, 1, how, DKIM_PASS, "valid");
    key_is(RSA_NAME, strict, 1, how, DKIM_FAIL, "i= not allowed by the key");
    how.tags = "i=bob@example.org;";
    key_is(RSA_NAME, strict, 1, how, DKIM_PASS, "valid");
    free(p);
    free(strict);
    free(testing);
    free(other_record);
}

static void test_weak(void **state)
{
    (void)state;
    struct sg_how how = us_by(us.small);
    char *record = sg_key_record(us.small);
    key_is(RSA_NAME, record, 1, how, DKIM_FAIL, "key size not accepted");
    free(record);
    how = us_by(us.rsa);
    how.alg = "rsa-sha1";
    us_signed_is(how, DKIM_FAIL, "algorithm not accepted");
    how.alg = "RSA-sha256";
    us_signed_is(how, DKIM_PASS, "valid");
}

static void test_several_records(void **state)
{
    (void)state;
    struct sg_how how = us_by(us.rsa);
    struct sg_text t = sg_sign(&how, MESSAGE, strlen(MESSAGE));
    char *other_record = sg_key_record(us.other);
    struct ck_zone z = us_zone();
    z.row[0].record[0] = "v=spf1 -all";
    z.row[0].record[1] = other_record;
    z.row[0].record[2] = us.rsa_record;
    assert_verdict(&z, t, DKIM_PASS, "valid");
    z.row[0].record[2] = us.ed_record;
    z.row[0].record[3] = us.rsa_record; /* the fourth is not looked at */
    assert_verdict(&z, t, DKIM_FAIL, "signature does not fit the key");
    free(other_record);
    free(t.data);
}

/* DNS trouble makes nothing permanent, unless all is decided without that key. */
static void test_trouble(void **state)
{
    (void)state;
    struct sg_how first = us_by(us.rsa), second = us_by(us.ed);
    struct ck_zone z = us_zone();
    struct sg_text inner = sg_sign(&first, MESSAGE, strlen(MESSAGE));
    struct sg_text t = sg_sign(&second, inner.data, inner.len);
    ck_set(&z, ED_NAME, NULL, -1);
    assert_verdict(&z, t, DKIM_PASS, "valid");
    ck_set(&z, RSA_NAME, NULL, 0);
    assert_verdict(&z, t, DKIM_RETRY, "key lookup failed");
    ck_set(&z, RSA_NAME, NULL, -1);
    assert_verdict(&z, t, DKIM_RETRY, "key lookup failed");
    *strstr(t.data, "Hello") = 'h'; /* no key makes that good */
    z.asked = 0;
    assert_verdict(&z, t, DKIM_FAIL, "body changed");
    assert_int_equal(z.asked, 0);
    free(inner.data);
    free(t.data);
}

/* A cached key that does not fit is asked for again, once. */
static void test_rollover(void **state)
{
    (void)state;
    struct sg_how how = us_by(us.rsa), next = us_by(us.other);
    struct ck_zone z = us_zone();
    struct dkim_keys *keys = ck_keys(&z);
    char *other_record = sg_key_record(us.other);
    struct sg_text a = sg_sign(&how, MESSAGE, strlen(MESSAGE));
    struct sg_text b = sg_sign(&next, MESSAGE, strlen(MESSAGE));
    const char *reason;
#define VERDICT(t, want, asks)                                                         \
    do {                                                                               \
        unsigned before = z.asked;                                                     \
        assert_int_equal(ck_verify(t.data, t.len, "example.org", keys, 0, &reason),    \
                         want);                                                        \
        assert_int_equal(z.asked - before, asks);                                      \
    } while (0)
    VERDICT(a, DKIM_PASS, 1);
    VERDICT(a, DKIM_PASS, 0);
    VERDICT(b, DKIM_FAIL, 1); /* the cached one, a fresh one; both do not fit */
    VERDICT(a, DKIM_PASS, 1);
    ck_set(&z, RSA_NAME, other_record, 1);
    VERDICT(b, DKIM_PASS, 1); /* the first mail with the new key */
    VERDICT(b, DKIM_PASS, 0);
    ck_set(&z, RSA_NAME, NULL, -1);
    VERDICT(b, DKIM_PASS, 0);
    VERDICT(a, DKIM_RETRY, 1); /* perhaps it is new: nothing is proven */
#undef VERDICT
    free(a.data);
    free(b.data);
    free(other_record);
    dkim_keys_free(&keys);
}

/* ---- limits and odd shapes ---- */

static void test_header_limits(void **state)
{
    (void)state;
    struct ck_zone z = us_zone();
    struct sg_how how = us_by(us.ed);
    char *value = sg_signature(&how, MESSAGE, strlen(MESSAGE));
    for (int many = 0; many < 2; many++) {
        struct cm_buf b;
        cm_buf_init(&b, 1 << 23);
        for (int i = 0; i < (many ? DKIM_FIELDS_MAX : 12); i++) {
            cm_buf_fmt(&b, "X-%d: %0*d\r\n", i, many ? 1 : 100000, 0);
        }
        cm_buf_fmt(&b, "DKIM-Signature:%s\r\n" MESSAGE, value);
        struct sg_text t = {b.data, b.len};
        assert_verdict(&z, t, DKIM_FAIL, "header too large");
        cm_buf_clear(&b);
    }
    free(value);
}

static void test_empty_shapes(void **state)
{
    (void)state;
    static const char *const messages[] = {
        "From: a@example.org\r\n\r\n", "From: a@example.org\r\n\r\n\r\n\r\n",
        "From: a@example.org\r\n\r\nx", "From:\r\n\r\n \r\n"};
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        for (int relaxed = 0; relaxed < 2; relaxed++) {
            struct ck_zone z = us_zone();
            struct sg_how how = us_by(us.ed);
            how.canon = relaxed ? "relaxed/relaxed" : "simple/simple";
            struct sg_text t = sg_sign(&how, messages[i], strlen(messages[i]));
            assert_verdict(&z, t, DKIM_PASS, "valid");
            free(t.data);
        }
    }
}

/* Fields with LF line ends, as a milter gets them. */
static void test_lf_in_fields(void **state)
{
    (void)state;
    struct ck_zone z = us_zone();
    struct dkim_keys *keys = ck_keys(&z);
    for (int relaxed = 0; relaxed < 2; relaxed++) {
        struct sg_how how = us_by(us.ed);
        const char *reason;
        how.canon = relaxed ? "relaxed/relaxed" : "simple/simple";
        how.fold = true;
        char *value = sg_signature(&how, MESSAGE, strlen(MESSAGE));
        char *to = value, *p = value;
        for (; *p != '\0'; p++) {
            if (*p != '\r') {
                *to++ = *p;
            }
        }
        struct dkim *d = dkim_new();
        dkim_header(d, "DKIM-Signature", 14, value, (size_t)(to - value));
        dkim_header(d, "From", 4, " Alice  <alice@example.org>", 27);
        dkim_header(d, "To", 2, " carl@example.net", 17);
        dkim_header(d, "Subject", 7, " folded\n\tsubject ", 17);
        dkim_headers_end(d, "example.org");
        const char *body = strstr(MESSAGE, "\r\n\r\n") + 4;
        dkim_body(d, body, strlen(body));
        assert_int_equal(dkim_end(d, keys, &reason), DKIM_PASS);
        dkim_free(&d);
        free(value);
    }
    dkim_keys_free(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_missing_and_malformed),
        cmocka_unit_test(test_h_limit),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_weak),
        cmocka_unit_test(test_several_records),
        cmocka_unit_test(test_trouble),
        cmocka_unit_test(test_rollover),
        cmocka_unit_test(test_header_limits),
        cmocka_unit_test(test_empty_shapes),
        cmocka_unit_test(test_lf_in_fields),
    };
    return cmocka_run_group_tests(tests, us_begin, us_end);
}
