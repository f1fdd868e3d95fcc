/* What we sign is verified by our own verifier, which test_dkim_* compare with RFC
 * examples and libopendkim (test_dkim_oracle signs thousands of messages more). */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"

#include "dkim_headers.h"
#include "dkim_sign.h"
#include "testing/seal_message.h"
#include "testing/usual.h"

static struct dkim_privkey *key;

static int begin(void **state)
{
    struct cm_err err;
    assert_int_equal(us_begin(state), 0);
    char *pem = sg_key_pem(us.rsa);
    key = dkim_privkey_read(pem, strlen(pem), &err);
    assert_non_null(key);
    free(pem);
    return 0;
}

static int end(void **state)
{
    dkim_privkey_free(&key);
    return us_end(state);
}

/* The message with its signature in front. */
static struct sg_text sealed(const char *message, size_t chunk)
{
    struct cm_err err;
    struct sg_text t;
    const struct dkim_sign_as as = {.key = key,
                                    .domain = "example.org",
                                    .selector = "r",
                                    .now_s = cm_now_wall_ms() / 1000};
    assert_int_equal(
        seal_message(&as, message, strlen(message), chunk, &t.data, &t.len, &err), 0);
    return t;
}

static void expect_pass(const char *message, size_t chunk)
{
    struct ck_zone z = us_zone();
    struct sg_text t = sealed(message, chunk);
    assert_verdict(&z, t, DKIM_PASS, "valid");
    free(t.data);
}

static void what_we_sign_verifies(void **state)
{
    (void)state;
    static const char *const messages[] = {
        MESSAGE,
        "From: <a@example.org>\r\n\r\n",
        "From: <a@example.org>\r\n\r\n\r\n",
        "From: <a@example.org>\r\n\r\n\r\n\r\n\r\n",
        "From: <a@example.org>\r\n\r\nno line end",
        "From: <a@example.org>\r\n\r\nblanks at the end \t \r\n \r\n",
        "From: <a@example.org>\r\n\r\nbare\rCR and\nLF\r\n",
        "fRoM:a@example.org\r\nSUBJECT:\r\n\r\nx\r\n",
        "From : <a@example.org>\r\nTo\t:\r\n\t<b@example.net>,\r\n <c@example.net>"
        "\r\n\r\nx\r\n",
        "From: =?utf-8?q?=C3=BC?= <a@example.org>\r\nSubject: 8-bit \xc3\xa4 \xff\r\n"
        "\r\n8-bit \xe9\r\n",
        "Received: by x\r\nFrom: a@example.org\r\nDKIM-Signature: v=1; of=another\r\n"
        "Content-Type: text/plain;\r\n\tcharset=\"utf-8\"\r\n\r\n.dots\r\n..\r\n",
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        for (size_t chunk = 0; chunk < 4; chunk++) {
            expect_pass(messages[i], chunk);
        }
    }
}

static void a_long_body_verifies(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 1 << 20);
    cm_buf_str(&b, "From: <a@example.org>\r\n\r\n");
    for (int i = 0; i < 3000; i++) {
        cm_buf_fmt(&b, "line %d%s\r\n", i, i % 7 == 0 ? "\r\n \t" : "");
    }
    cm_buf_str(&b, "\r\n\r\n");
    static const size_t chunks[] = {0, 1, 4095, 4096, 4097, 65535};
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        expect_pass(b.data, chunks[i]);
    }
    cm_buf_clear(&b);
}

/* Every signed field is proven, and none of them can be added. */
static void nothing_can_be_changed_or_added(void **state)
{
    (void)state;
    static const char *const names[] = {
        "From", "Reply-To",  "Subject", "Date",       "To",
        "Cc",   "Autocrypt", "List-Id", "References", "Resent-To"};
    struct ck_zone z = us_zone();
    struct sg_text t = sealed(MESSAGE, 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *more = cm_asprintf("\r\n%s: x@example.org\r\n\r\nHello", names[i]);
        struct sg_text changed = us_replaced(t, "\r\n\r\nHello", more);
        const char *why;
        assert_int_equal(us_check(&z, changed, &why), DKIM_FAIL);
        free(changed.data);
        free(more);
    }
    static const char *const changes[][2] = {{"Alice", "Malice"},
                                             {"carl@", "karl@"},
                                             {"\tsubject", "\tobject"},
                                             {"Hello  world", "Hello world"},
                                             {"d=example.org", "d=example.net"},
                                             {"s=r;", "s=e;"}};
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct sg_text changed = us_replaced(t, changes[i][0], changes[i][1]);
        const char *why;
        assert_int_equal(us_check(&z, changed, &why), DKIM_FAIL);
        free(changed.data);
    }
    /* What other relays put in front, and folding anew, does no harm. */
    struct sg_text other = us_replaced(t, "Subject: folded\r\n\tsubject ",
                                       "X-Spam: no\r\nsubject:   folded subject");
    assert_verdict(&z, other, DKIM_PASS, "valid");
    free(other.data);
    free(t.data);
}

static void the_field_looks_as_it_should(void **state)
{
    (void)state;
    struct sg_text t = sealed(MESSAGE, 0);
    size_t lines = 0;
    char *end = strstr(t.data, "\r\nFrom:");
    assert_non_null(end);
    *end = '\0';
    assert_memory_equal(t.data, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple;",
                        52);
    assert_non_null(strstr(t.data, "\r\n\td=example.org; s=r;\r\n\tt="));
    assert_non_null(strstr(t.data,
                           "\r\n\th=From:From:Reply-To:Subject:Subject:Date:To:To:"
                           "To:Cc:"));
    assert_null(strstr(t.data, "Content-Type")); /* there is none */
    for (char *p = t.data; p != NULL; lines++) {
        char *next = strstr(p, "\r\n");
        assert_true((next != NULL ? (size_t)(next - p) : strlen(p)) <= 78);
        assert_true(lines == 0 || *p == '\t');
        p = next != NULL ? next + 2 : NULL;
    }
    assert_true(lines > 8);
    free(t.data);
}

static void a_header_without_end_is_refused(void **state)
{
    (void)state;
    struct cm_buf b;
    struct cm_err err;
    struct sg_text t;
    const struct dkim_sign_as as = {.key = key, .domain = "x.org", .selector = "r"};
    cm_buf_init(&b, 8 << 20);
    cm_buf_str(&b, "From: a@x.org\r\n");
    for (int i = 1; i < DKIM_SIGN_FIELDS_MAX; i++) {
        cm_buf_str(&b, "X-Many: x\r\nCc: b@x.org\r\n");
    }
    cm_buf_str(&b, "\r\n");
    assert_int_equal(seal_message(&as, b.data, b.len, 0, &t.data, &t.len, &err), 0);
    free(t.data);
    b.len -= 2; /* the empty line */
    cm_buf_str(&b, "Cc: one@too.many\r\n\r\n");
    assert_int_equal(seal_message(&as, b.data, b.len, 0, &t.data, &t.len, &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    cm_buf_reset(&b);
    cm_buf_str(&b, "From: a@x.org\r\nTo: ");
    for (int i = 0; i < 1100000 / 20; i++) {
        cm_buf_str(&b, "long, long, long, lo");
    }
    cm_buf_str(&b, "\r\n\r\n");
    assert_int_equal(seal_message(&as, b.data, b.len, 0, &t.data, &t.len, &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    cm_buf_clear(&b);
}

static void keys_are_rsa_and_open(void **state)
{
    (void)state;
    struct cm_err err;
    char *small = sg_key_pem(us.small);
    assert_null(dkim_privkey_read(small, strlen(small), &err));
    assert_int_equal(err.kind, CM_ERR_WORLD);
    assert_non_null(strstr(err.text, "1016 bits"));
    free(small);
    static const char ed25519[] = /* RFC 8410, 10.3 */
        "-----BEGIN PRIVATE KEY-----\n"
        "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
        "-----END PRIVATE KEY-----\n";
    assert_null(dkim_privkey_read(ed25519, strlen(ed25519), &err));
    assert_non_null(strstr(err.text, "ED25519"));
    static const char encrypted[] =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE "
        "KEY-----\n";
    assert_null(dkim_privkey_read(encrypted, strlen(encrypted), &err));
    assert_null(dkim_privkey_read("", 0, &err));
    char *pem = sg_key_pem(us.rsa);
    assert_null(dkim_privkey_read(pem, strlen(pem) / 2, &err));
    free(pem);
}

/* One key, many threads. */

#define THREADS 8

static void *sign_some(void *ctx)
{
    struct dkim_privkey *mine = ctx;
    struct ck_zone z = us_zone();
    uintptr_t good = 0;
    for (int i = 0; i < 20; i++) {
        const struct dkim_sign_as as = {
            .key = mine, .domain = "example.org", .selector = "r", .now_s = 1};
        struct cm_err err;
        struct sg_text t;
        const char *why;
        if (seal_message(&as, MESSAGE, strlen(MESSAGE), 7, &t.data, &t.len, &err) ==
            0) {
            good += us_check(&z, t, &why) == DKIM_PASS;
            free(t.data);
        }
    }
    dkim_privkey_free(&mine);
    return (void *)good;
}

static void threads_share_a_key(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(
            pthread_create(&thread[i], NULL, sign_some, dkim_privkey_share(key)), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *good;
        pthread_join(thread[i], &good);
        assert_int_equal((uintptr_t)good, 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_we_sign_verifies),
        cmocka_unit_test(a_long_body_verifies),
        cmocka_unit_test(nothing_can_be_changed_or_added),
        cmocka_unit_test(the_field_looks_as_it_should),
        cmocka_unit_test(a_header_without_end_is_refused),
        cmocka_unit_test(keys_are_rsa_and_open),
        cmocka_unit_test(threads_share_a_key),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
