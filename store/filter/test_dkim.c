/* The verifier, rule by rule: relay-spec.md 2.9.8, RFC 6376, and the vectors of the
 * RFCs. Key records come from a table; no DNS. */
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

#include "dkim.h"
#include "testing/checker.h"
#include "testing/signer.h"

#define RSA_NAME "r._domainkey.example.org"
#define ED_NAME  "e._domainkey.example.org"
#define MESSAGE                                                                        \
    "From: Alice  <alice@example.org>\r\nTo: bob@example.net\r\nTo: carl@example.net"  \
    "\r\nSubject: folded\r\n\tsubject \r\nX-Long : a  b\r\n\r\n"                       \
    "Hello  world \r\n\r\nBye\r\n\r\n\r\n"

static struct sg_key *rsa, *ed, *other, *small;
static char *rsa_record, *ed_record;

static int make_keys(void **state)
{
    (void)state;
    rsa = sg_key_rsa(2048);
    other = sg_key_rsa(2048);
    small = sg_key_rsa(1016);
    ed = sg_key_ed25519();
    rsa_record = sg_key_record(rsa);
    ed_record = sg_key_record(ed);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    sg_key_free(&rsa);
    sg_key_free(&other);
    sg_key_free(&small);
    sg_key_free(&ed);
    free(rsa_record);
    free(ed_record);
    return 0;
}

static struct sg_how by(const struct sg_key *key)
{
    return (struct sg_how){.key = key,
                           .domain = "example.org",
                           .selector = key == ed ? "e" : "r",
                           .canon = "relaxed/relaxed",
                           .body_length = -1};
}

static struct ck_zone zone(void)
{
    struct ck_zone z = {0};
    ck_set(&z, RSA_NAME, rsa_record, 1);
    ck_set(&z, ED_NAME, ed_record, 1);
    return z;
}

static enum dkim_verdict check(struct ck_zone *z, struct sg_text t, const char **reason)
{
    struct dkim_keys *keys = ck_keys(z);
    enum dkim_verdict v = ck_verify(t.data, t.len, "example.org", keys, 0, reason);
    dkim_keys_free(&keys);
    return v;
}

#define assert_verdict(z, t, want, why)                                                \
    do {                                                                               \
        const char *reason_;                                                           \
        enum dkim_verdict v_ = check(z, t, &reason_);                                  \
        if (v_ != (want) || strcmp(reason_, why) != 0) {                               \
            fail_msg("line %d: verdict %d, %s", __LINE__, v_, reason_);                \
        }                                                                              \
    } while (0)

/* Signs MESSAGE as told and checks it against the usual zone. */
static void signed_is(struct sg_how how, enum dkim_verdict want, const char *why)
{
    struct ck_zone z = zone();
    struct sg_text t = sg_sign(&how, MESSAGE, strlen(MESSAGE));
    const char *reason;
    enum dkim_verdict v = check(&z, t, &reason);
    if (v != want || strcmp(reason, why) != 0) {
        fail_msg("verdict %d, %s instead of %s: %s", v, reason, why, t.data);
    }
    free(t.data);
}

/* ---- vectors ---- */

#define JOE                                                                            \
    "From: Joe SixPack <joe@football.example.com>\r\n"                                 \
    "To: Suzie Q <suzie@shopping.example.net>\r\n"                                     \
    "Subject: Is dinner ready?\r\n"                                                    \
    "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"                                  \
    "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"                 \
    "\r\n"                                                                             \
    "Hi.\r\n"                                                                          \
    "\r\n"                                                                             \
    "We lost the game. Are you hungry yet?\r\n"                                        \
    "\r\n"                                                                             \
    "Joe.\r\n"

/* RFC 8463 appendix A: the keys, and the two signatures of A.3. */
static const char rfc8463_ed[] =
    "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
static const char rfc8463_rsa[] =
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
    "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
    "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
    "Ip3G+2kryOTIKT+l/K4w3QIDAQAB";
static const char rfc8463_ed_sig[] =
    "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
    " d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
    " subject : date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n";
static const char rfc8463_rsa_sig[] =
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
    " d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
    " date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
    " DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
    " dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n";

static void vector_is(struct ck_zone *z, const char *from, const char *text,
                      enum dkim_verdict want)
{
    const char *reason;
    for (size_t chunk = 0; chunk < 70; chunk++) {
        struct dkim_keys *keys = ck_keys(z);
        enum dkim_verdict v = ck_verify(text, strlen(text), from, keys, chunk, &reason);
        dkim_keys_free(&keys);
        if (v != want) {
            fail_msg("verdict %d, %s: %s", v, reason, text);
        }
    }
}

static void test_rfc8463(void **state)
{
    (void)state;
    struct ck_zone z = {0};
    ck_set(&z, "brisbane._domainkey.football.example.com", rfc8463_ed, 1);
    ck_set(&z, "test._domainkey.football.example.com", rfc8463_rsa, 1);
    const char *sigs[] = {rfc8463_ed_sig, rfc8463_rsa_sig};
    for (int i = 0; i < 2; i++) {
        char *text = cm_asprintf("%s%s", sigs[i], JOE);
        vector_is(&z, "football.example.com", text, DKIM_PASS);
        vector_is(&z, "example.com", text, DKIM_FAIL);
        free(text);
    }
    char *both = cm_asprintf("%s%s%s", rfc8463_ed_sig, rfc8463_rsa_sig, JOE);
    vector_is(&z, "football.example.com", both, DKIM_PASS);
    free(both);
    char *changed = cm_asprintf("%s%s", rfc8463_ed_sig, JOE);
    *strstr(changed, "dinner") = 'D';
    vector_is(&z, "football.example.com", changed, DKIM_FAIL);
    free(changed);
}

/* RFC 6376 appendix A. The i= there is below d=. Errata 3192 and 4926: one blank
 * after "game.", and this indentation. */
static void test_rfc6376(void **state)
{
    (void)state;
    struct ck_zone z = {0};
    ck_set(&z, "brisbane._domainkey.example.com",
           "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ"
           "KBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt"
           "IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v"
           "/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi"
           "tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB",
           1);
    vector_is(&z, "example.com",
              "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n"
              "      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n"
              "      h=Received : From : To : Subject : Date : Message-ID;\r\n"
              "      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
              "      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n"
              "      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n"
              "      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n"
              "      4bmp/YzhwvcubU4=;\r\n"
              "Received: from client1.football.example.com  [192.0.2.1]\r\n"
              "      by submitserver.example.com with SUBMISSION;\r\n"
              "      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n" JOE,
              DKIM_PASS);
}

/* ---- what passes ---- */

static void test_canonical_forms(void **state)
{
    (void)state;
    static const char *const forms[] = {"simple/simple",
                                        "simple/relaxed",
                                        "relaxed/simple",
                                        "relaxed/relaxed",
                                        "relaxed",
                                        "simple",
                                        NULL};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        const struct sg_key *keys[] = {rsa, ed};
        for (int k = 0; k < 2; k++) {
            struct sg_how how = by(keys[k]);
            how.canon = forms[i];
            how.h = "From:to:SUBJECT:X-Long:To:subject:Date";
            signed_is(how, DKIM_PASS, "valid");
            how.fold = true;
            signed_is(how, DKIM_PASS, "valid");
        }
    }
}

static void test_changes(void **state)
{
    (void)state;
    static const char *const forms[] = {"simple/simple", "relaxed/relaxed"};
    for (int i = 0; i < 2; i++) {
        struct sg_how how = by(rsa);
        how.canon = forms[i];
        how.h = "from:to:subject:to";
        struct sg_text t = sg_sign(&how, MESSAGE, strlen(MESSAGE));
        struct ck_zone z = zone();
        /* Every byte of what was signed; case of names and blanks may be free. */
        size_t from = (size_t)(strstr(t.data, "\r\nFrom:") - t.data) + 2;
        const char *free_line = strstr(t.data, "X-Long");
        for (size_t at = from; at < t.len; at++) {
            char old = t.data[at];
            if (strchr("\r\n \t:", old) == NULL &&
                (t.data + at < free_line || t.data + at >= strstr(free_line, "\r\n"))) {
                const char *reason;
                t.data[at] = '~';
                assert_int_equal(check(&z, t, &reason), DKIM_FAIL);
                t.data[at] = old;
            }
        }
        assert_verdict(&z, t, DKIM_PASS, "valid");
        *strstr(t.data, "X-Long") = 'Y'; /* not signed */
        assert_verdict(&z, t, DKIM_PASS, "valid");
        memcpy(strstr(t.data, "world"), "earth", 5);
        assert_verdict(&z, t, DKIM_FAIL, "body changed");
        free(t.data);
    }
}

static struct sg_text replaced(struct sg_text t, const char *old, const char *new)
{
    struct cm_buf b;
    cm_buf_init(&b, 1 << 24);
    char *at = strstr(t.data, old);
    assert_non_null(at);
    cm_buf_add(&b, t.data, (size_t)(at - t.data));
    cm_buf_str(&b, new);
    cm_buf_str(&b, at + strlen(old));
    struct sg_text out = {.len = b.len};
    out.data = cm_buf_steal(&b);
    return out;
}

static void changed_is(const struct sg_how *how, const char *old, const char *new,
                       enum dkim_verdict want)
{
    struct ck_zone z = zone();
    const char *reason;
    struct sg_text t = sg_sign(how, MESSAGE, strlen(MESSAGE));
    struct sg_text u = replaced(t, old, new);
    enum dkim_verdict v = check(&z, u, &reason);
    if (v != want) {
        fail_msg("%s for %s: verdict %d, %s", new, old, v, reason);
    }
    free(t.data);
    free(u.data);
}

/* What relaxed allows, and simple does not. */
static void test_blanks(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        {"Alice  <", "Alice <"},
        {"Subject: folded\r\n\tsubject \r\n", "SUBJECT : folded subject\r\n"},
        {"Hello  world \r\n", "Hello \t world\r\n"},
        {"To: bob@example.net", "to:bob@example.net  "},
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct sg_how how = by(rsa);
        how.h = "from:to:subject:to";
        changed_is(&how, changes[i][0], changes[i][1], DKIM_PASS);
        how.canon = "simple/simple";
        changed_is(&how, changes[i][0], changes[i][1], DKIM_FAIL);
    }
    struct sg_how how = by(rsa);
    how.canon = "simple/simple"; /* empty lines at the end are free in both */
    changed_is(&how, "Bye\r\n\r\n\r\n", "Bye\r\n", DKIM_PASS);
    changed_is(&how, "Bye\r\n\r\n\r\n", "Bye", DKIM_PASS);
    changed_is(&how, "Bye\r\n", "Bye \r\n", DKIM_FAIL);
}

/* Names that occur several times are taken from the bottom; a name that is listed once
 * more than it occurs must not be added to. */
static void test_header_selection(void **state)
{
    (void)state;
    struct sg_how how = by(ed);
    how.h = "from:to:subject"; /* the lower To only */
    changed_is(&how, "bob@", "bib@", DKIM_PASS);
    changed_is(&how, "carl@", "corl@", DKIM_FAIL);
    changed_is(&how, "To: bob", "To: new@example.net\r\nTo: bob", DKIM_PASS);
    changed_is(&how, "Subject:", "To: new@example.net\r\nSubject:", DKIM_FAIL);
    how.h = "from:to:to:to:subject:date:from";
    changed_is(&how, "bob@", "bib@", DKIM_FAIL);
    changed_is(&how, "To: bob", "To: new@example.net\r\nTo: bob", DKIM_FAIL);
    changed_is(&how, "To: bob", "Date: today\r\nTo: bob", DKIM_FAIL);
    changed_is(&how, "To: bob", "From: x@example.org\r\nTo: bob", DKIM_FAIL);
    changed_is(&how, "To: bob", "Cc: new@example.net\r\nTo: bob", DKIM_PASS);
}

static void test_every_from(void **state)
{
    (void)state;
    static const char two[] = "From: a@example.org\r\nFrom: b@example.org\r\n\r\nx\r\n";
    struct sg_how how = by(ed);
    struct ck_zone z = zone();
    how.h = "from";
    struct sg_text t = sg_sign(&how, two, strlen(two));
    assert_verdict(&z, t, DKIM_FAIL, "From not signed");
    free(t.data);
    how.h = "from:from";
    t = sg_sign(&how, two, strlen(two));
    assert_verdict(&z, t, DKIM_PASS, "valid");
    free(t.data);
    how.h = "to:subject";
    signed_is(how, DKIM_FAIL, "From not signed");
    how.h = "to:fromage";
    signed_is(how, DKIM_FAIL, "From not signed");
}

/* ---- whose signature, and where ---- */

static void test_domain(void **state)
{
    (void)state;
    struct sg_how how = by(rsa);
    how.domain = "EXAMPLE.Org";
    signed_is(how, DKIM_PASS, "valid");
    static const char *const foreign[] = {
        "org", "example.com", "mail.example.org", "example.org.", "xexample.org", ""};
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        struct ck_zone z = zone();
        how.domain = foreign[i];
        struct sg_text t = sg_sign(&how, MESSAGE, strlen(MESSAGE));
        assert_verdict(&z, t, DKIM_FAIL, "no signature of the From domain");
        assert_int_equal(z.asked, 0);
        free(t.data);
    }
    struct ck_zone z = zone();
    struct sg_text plain = {cm_strdup(MESSAGE), strlen(MESSAGE)};
    assert_verdict(&z, plain, DKIM_NONE, "no signature");
    free(plain.data);
}

/* `foreign` signatures of other domains, then ours, and one of ours that is broken. */
static void stacked(int foreign, int broken, enum dkim_verdict want, unsigned asked)
{
    struct cm_buf b;
    struct ck_zone z = zone();
    struct sg_how how = by(rsa);
    cm_buf_init(&b, 1 << 20);
    for (int i = 0; i < foreign; i++) {
        struct sg_how far = by(other);
        far.domain = "example.net";
        char *value = sg_signature(&far, MESSAGE, strlen(MESSAGE));
        cm_buf_fmt(&b, "DKIM-Signature:%s\r\n", value);
        free(value);
    }
    for (int i = 0; i < broken; i++) {
        cm_buf_str(&b, i % 2 ? "DKIM-Signature: junk\r\n"
                             : "dkim-signature : v=1; d=example.org\r\n");
    }
    struct sg_text t = sg_sign(&how, MESSAGE, strlen(MESSAGE));
    cm_buf_add(&b, t.data, t.len);
    free(t.data);
    t = (struct sg_text){b.data, b.len};
    const char *reason;
    assert_int_equal(check(&z, t, &reason), want);
    assert_int_equal(z.asked, asked);
    cm_buf_clear(&b);
}

static void test_many_signatures(void **state)
{
    (void)state;
    stacked(8, 0, DKIM_PASS, 1);
    stacked(9, 0, DKIM_PASS, 1);
    stacked(10, 0, DKIM_FAIL, 0);
    stacked(0, 9, DKIM_PASS, 1);
    stacked(0, 10, DKIM_FAIL, 0);
    stacked(5, 4, DKIM_PASS, 1);
    stacked(500, 0, DKIM_FAIL, 0);
}

/* The signature may stand anywhere in the header, and cover another one. */
static void test_places(void **state)
{
    (void)state;
    struct sg_how how = by(ed), second = by(rsa);
    struct ck_zone z = zone();
    char *value = sg_signature(&how, MESSAGE, strlen(MESSAGE));
    char *line = cm_asprintf("\r\nDKIM-Signature:%s\r\n\r\n", value);
    struct sg_text plain = {cm_strdup(MESSAGE), strlen(MESSAGE)};
    struct sg_text t = replaced(plain, "\r\n\r\n", line);
    assert_verdict(&z, t, DKIM_PASS, "valid");
    second.h = "from:dkim-signature:dkim-signature";
    struct sg_text u = sg_sign(&second, t.data, t.len);
    ck_set(&z, ED_NAME, NULL, 0);
    assert_verdict(&z, u, DKIM_PASS, "valid");
    memcpy(strstr(u.data, "a=ed25519"), "A=ed25519", 9);
    assert_verdict(&z, u, DKIM_FAIL, "signature does not fit the key");
    free(plain.data);
    free(t.data);
    free(u.data);
    free(line);
    free(value);
}

/* ---- tags ---- */

static void tags_are(const char *tags, enum dkim_verdict want, const char *why)
{
    struct sg_how how = by(ed);
    how.tags = tags;
    signed_is(how, want, why);
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
    struct ck_zone z = zone();
    struct sg_how how = by(ed);
    struct sg_text t = sg_sign(&how, MESSAGE, strlen(MESSAGE));
    struct sg_text u = replaced(t, old, new);
    const char *reason;
    enum dkim_verdict v = check(&z, u, &reason);
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
    struct sg_how how = by(ed);
    how.h = h.data;
    signed_is(how, DKIM_PASS, "valid");
    cm_buf_str(&h, ":to");
    how.h = h.data;
    signed_is(how, DKIM_FAIL, "signature malformed");
    cm_buf_clear(&h);
}

static void test_length(void **state)
{
    (void)state;
    struct sg_how how = by(ed);
    how.body_length = 5;
    signed_is(how, DKIM_PASS, "valid");
    changed_is(&how, "Bye", "See you", DKIM_PASS);
    changed_is(&how, "Hello", "Hallo", DKIM_FAIL);
    how.body_length = 0;
    changed_is(&how, "Hello", "Hallo", DKIM_PASS);
    how.body_length = strlen("Hello world\r\n\r\nBye\r\n");
    signed_is(how, DKIM_PASS, "valid");
    how.body_length++;
    signed_is(how, DKIM_FAIL, "body changed");
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
    struct ck_zone z = zone();
    ck_set(&z, name, record, result);
    struct sg_text t = sg_sign(&how, MESSAGE, strlen(MESSAGE));
    assert_verdict(&z, t, want, why);
    free(t.data);
}

static void test_keys(void **state)
{
    (void)state;
    struct sg_how how = by(rsa);
    char *p = sg_key_p(rsa);
    char *strict = cm_asprintf("v=DKIM1; k=rsa; p=%s; s=email; t=s", p);
    char *testing = cm_asprintf("v=DKIM1; t=y; p=%s", p);
    char *other_record = sg_key_record(other);
    key_is(RSA_NAME, strict, 1, how, DKIM_PASS, "valid");
    key_is(RSA_NAME, testing, 1, how, DKIM_PASS, "valid");
    key_is(RSA_NAME, other_record, 1, how, DKIM_FAIL, "signature does not fit the key");
    key_is(RSA_NAME, "v=DKIM1; p=", 1, how, DKIM_FAIL, "key revoked");
    key_is(RSA_NAME, "v=spf1 -all", 1, how, DKIM_FAIL, "key record not usable");
    key_is(RSA_NAME, ed_record, 1, how, DKIM_FAIL, "key record not usable");
    key_is(RSA_NAME, NULL, 0, how, DKIM_FAIL, "no key in DNS");
    key_is(RSA_NAME, NULL, -1, how, DKIM_RETRY, "key lookup failed");
    how.tags = "i=@mail.example.org;";
    key_is(RSA_NAME, rsa_record, 1, how, DKIM_PASS, "valid");
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
    struct sg_how how = by(small);
    char *record = sg_key_record(small);
    key_is(RSA_NAME, record, 1, how, DKIM_FAIL, "key size not accepted");
    free(record);
    how = by(rsa);
    how.alg = "rsa-sha1";
    signed_is(how, DKIM_FAIL, "algorithm not accepted");
    how.alg = "RSA-sha256";
    signed_is(how, DKIM_PASS, "valid");
}

static void test_several_records(void **state)
{
    (void)state;
    struct sg_how how = by(rsa);
    struct sg_text t = sg_sign(&how, MESSAGE, strlen(MESSAGE));
    char *other_record = sg_key_record(other);
    struct ck_zone z = zone();
    z.row[0].record[0] = "v=spf1 -all";
    z.row[0].record[1] = other_record;
    z.row[0].record[2] = rsa_record;
    assert_verdict(&z, t, DKIM_PASS, "valid");
    z.row[0].record[2] = ed_record;
    z.row[0].record[3] = rsa_record; /* the fourth is not looked at */
    assert_verdict(&z, t, DKIM_FAIL, "signature does not fit the key");
    free(other_record);
    free(t.data);
}

/* DNS trouble makes nothing permanent, unless all is decided without that key. */
static void test_trouble(void **state)
{
    (void)state;
    struct sg_how first = by(rsa), second = by(ed);
    struct ck_zone z = zone();
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
    struct sg_how how = by(rsa), next = by(other);
    struct ck_zone z = zone();
    struct dkim_keys *keys = ck_keys(&z);
    char *other_record = sg_key_record(other);
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
    struct ck_zone z = zone();
    struct sg_how how = by(ed);
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
            struct ck_zone z = zone();
            struct sg_how how = by(ed);
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
    struct ck_zone z = zone();
    struct dkim_keys *keys = ck_keys(&z);
    for (int relaxed = 0; relaxed < 2; relaxed++) {
        struct sg_how how = by(ed);
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
        cmocka_unit_test(test_rfc8463),
        cmocka_unit_test(test_rfc6376),
        cmocka_unit_test(test_canonical_forms),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_blanks),
        cmocka_unit_test(test_header_selection),
        cmocka_unit_test(test_every_from),
        cmocka_unit_test(test_domain),
        cmocka_unit_test(test_many_signatures),
        cmocka_unit_test(test_places),
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
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
