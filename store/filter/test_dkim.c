/* What is signed: the vectors of the RFCs, canonical forms, the choice of header
 * fields, whose signature it is and where it stands. test_dkim_rules.c has tags, keys
 * and limits. */
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
        const struct sg_key *keys[] = {us.rsa, us.ed};
        for (int k = 0; k < 2; k++) {
            struct sg_how how = us_by(keys[k]);
            how.canon = forms[i];
            how.h = "From:to:SUBJECT:X-Long:To:subject:Date";
            us_signed_is(how, DKIM_PASS, "valid");
            how.fold = true;
            us_signed_is(how, DKIM_PASS, "valid");
        }
    }
}

static void test_changes(void **state)
{
    (void)state;
    static const char *const forms[] = {"simple/simple", "relaxed/relaxed"};
    for (int i = 0; i < 2; i++) {
        struct sg_how how = us_by(us.rsa);
        how.canon = forms[i];
        how.h = "from:to:subject:to";
        struct sg_text t = sg_sign(&how, MESSAGE, strlen(MESSAGE));
        struct ck_zone z = us_zone();
        /* Every byte of what was signed; case of names and blanks may be free. */
        size_t from = (size_t)(strstr(t.data, "\r\nFrom:") - t.data) + 2;
        const char *free_line = strstr(t.data, "X-Long");
        for (size_t at = from; at < t.len; at++) {
            char old = t.data[at];
            if (strchr("\r\n \t:", old) == NULL &&
                (t.data + at < free_line || t.data + at >= strstr(free_line, "\r\n"))) {
                const char *reason;
                t.data[at] = '~';
                assert_int_equal(us_check(&z, t, &reason), DKIM_FAIL);
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
        struct sg_how how = us_by(us.rsa);
        how.h = "from:to:subject:to";
        changed_is(&how, changes[i][0], changes[i][1], DKIM_PASS);
        how.canon = "simple/simple";
        changed_is(&how, changes[i][0], changes[i][1], DKIM_FAIL);
    }
    struct sg_how how = us_by(us.rsa);
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
    struct sg_how how = us_by(us.ed);
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
    struct sg_how how = us_by(us.ed);
    struct ck_zone z = us_zone();
    how.h = "from";
    struct sg_text t = sg_sign(&how, two, strlen(two));
    assert_verdict(&z, t, DKIM_FAIL, "From not signed");
    free(t.data);
    how.h = "from:from";
    t = sg_sign(&how, two, strlen(two));
    assert_verdict(&z, t, DKIM_PASS, "valid");
    free(t.data);
    how.h = "to:subject";
    us_signed_is(how, DKIM_FAIL, "From not signed");
    how.h = "to:fromage";
    us_signed_is(how, DKIM_FAIL, "From not signed");
}

/* ---- whose signature, and where ---- */

static void test_domain(void **state)
{
    (void)state;
    struct sg_how how = us_by(us.rsa);
    how.domain = "EXAMPLE.Org";
    us_signed_is(how, DKIM_PASS, "valid");
    static const char *const foreign[] = {
        "org", "example.com", "mail.example.org", "example.org.", "xexample.org", ""};
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        struct ck_zone z = us_zone();
        how.domain = foreign[i];
        struct sg_text t = sg_sign(&how, MESSAGE, strlen(MESSAGE));
        assert_verdict(&z, t, DKIM_FAIL, "no signature of the From domain");
        assert_int_equal(z.asked, 0);
        free(t.data);
    }
    struct ck_zone z = us_zone();
    struct sg_text plain = {cm_strdup(MESSAGE), strlen(MESSAGE)};
    assert_verdict(&z, plain, DKIM_NONE, "no signature");
    free(plain.data);
}

/* `foreign` signatures of other domains, then ours, and one of ours that is broken. */
static void stacked(int foreign, int broken, enum dkim_verdict want, unsigned asked)
{
    struct cm_buf b;
    struct ck_zone z = us_zone();
    struct sg_how how = us_by(us.rsa);
    cm_buf_init(&b, 1 << 20);
    for (int i = 0; i < foreign; i++) {
        struct sg_how far = us_by(us.other);
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
    assert_int_equal(us_check(&z, t, &reason), want);
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
    struct sg_how how = us_by(us.ed), second = us_by(us.rsa);
    struct ck_zone z = us_zone();
    char *value = sg_signature(&how, MESSAGE, strlen(MESSAGE));
    char *line = cm_asprintf("\r\nDKIM-Signature:%s\r\n\r\n", value);
    struct sg_text plain = {cm_strdup(MESSAGE), strlen(MESSAGE)};
    struct sg_text t = us_replaced(plain, "\r\n\r\n", line);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc8463),         cmocka_unit_test(test_rfc6376),
        cmocka_unit_test(test_canonical_forms), cmocka_unit_test(test_changes),
        cmocka_unit_test(test_blanks),          cmocka_unit_test(test_header_selection),
        cmocka_unit_test(test_every_from),      cmocka_unit_test(test_domain),
        cmocka_unit_test(test_many_signatures), cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, us_begin, us_end);
}
