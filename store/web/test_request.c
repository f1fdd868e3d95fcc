#include "request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

/* What a request is, as one text: "METHOD TARGET|name=value|...|length|body|end". */
static char *read_as_text(const char *bytes, size_t len, size_t step)
{
    struct request r;
    struct cm_buf out;
    struct request_event e = {.type = REQUEST_MORE};
    bool body = false;
    request_init(&r);
    cm_buf_init(&out, 1u << 20);
    for (size_t at = 0; at < len && e.type < REQUEST_END;) {
        size_t piece = len - at < step ? len - at : step, used;
        do {
            request_next(&r, bytes + at, piece, &used, &e);
            at += used;
            piece -= used;
            if (e.type == REQUEST_LINE) {
                cm_buf_fmt(&out, "%s %s", r.method, r.target);
            } else if (e.type == REQUEST_FIELD) {
                cm_buf_fmt(&out, "|%s=%s", e.name, e.value);
            } else if (e.type == REQUEST_HEAD) {
                cm_buf_fmt(&out, "|%lld", (long long)r.length);
            } else if (e.type == REQUEST_BODY) {
                cm_buf_str(&out, body ? "" : "|");
                cm_buf_add(&out, e.data, e.len);
                body = true;
            } else if (e.type == REQUEST_END) {
                cm_buf_str(&out, "|end");
            } else if (e.type == REQUEST_BAD) {
                cm_buf_fmt(&out, "|bad %d", r.status);
            }
        } while (e.type != REQUEST_MORE && e.type < REQUEST_END);
    }
    request_clear(&r);
    return cm_buf_steal(&out);
}

#define H "Host: h\r\n"

static const struct {
    const char *bytes;
    const char *want;
} cases[] = {
    {"GET /new HTTP/1.1\r\n" H "\r\n", "GET /new|host=h|0|end"},
    {"POST /new?a=b HTTP/1.0\r\n\r\n", "POST /new?a=b|0|end"},
    {"POST /x HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", "POST /x|host=h|"
                                                                "content-length=5|5|"
                                                                "hello|end"},
    {"POST /x HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhellomore",
     "POST /x|host=h|content-length=5|5|hello|end"},
    {"POST /x HTTP/1.1\r\n" H "X-MAIL-TO:  a@b \t\r\nX-Mail-To: c@d\r\n\r\n",
     "POST /x|host=h|x-mail-to=a@b|x-mail-to=c@d|0|end"},
    {"POST /x HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n"
     "5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n",
     "POST /x|host=h|transfer-encoding=chunked|-1|hello0123456789|end"},
    {"PUT /x HTTP/1.1\r\nEmpty:\r\n" H "\r\n", "PUT /x|empty=|host=h|0|end"},
    /* Two readers could disagree about these. */
    {"GET /new HTTP/1.1\n" H "\r\n", "|bad 400"},
    {"GET /new HTTP/1.1\r\nA: b\nHost: h\r\n\r\n", "GET /new|bad 400"},
    {"GET /new HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "GET /new|a=b|bad 400"},
    {"GET /new HTTP/1.1\r\nA : b\r\n\r\n", "GET /new|bad 400"},
    {"GET /new HTTP/1.1\r\nA\r\n\r\n", "GET /new|bad 400"},
    {"GET /new HTTP/1.1\r\n: b\r\n\r\n", "GET /new|bad 400"},
    {"GET /new HTTP/1.1\r\nA: b\rc\r\n\r\n", "GET /new|bad 400"},
    {"GET /new HTTP/1.1\r\nA: b\x01\r\n\r\n", "GET /new|bad 400"},
    {"POST /x HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
     "POST /x|host=h|content-length=5|bad 400"},
    {"POST /x HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n", "POST /x|host=h|bad 400"},
    {"POST /x HTTP/1.1\r\n" H "Content-Length: 5,5\r\n\r\n", "POST /x|host=h|bad 400"},
    {"POST /x HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", "POST /x|host=h|bad 400"},
    {"POST /x HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n",
     "POST /x|host=h|bad 400"},
    {"POST /x HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
     "POST /x|host=h|content-length=5|transfer-encoding=chunked|bad 400"},
    {"POST /x HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n",
     "POST /x|host=h|bad 501"},
    {"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "POST /x|bad 400"},
    {"POST /x HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n",
     "POST /x|host=h|transfer-encoding=chunked|-1|hello|bad 400"},
    {"POST /x HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nfffffffffffff\r\n",
     "POST /x|host=h|transfer-encoding=chunked|-1|bad 400"},
    {"POST /x HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-5\r\n",
     "POST /x|host=h|transfer-encoding=chunked|-1|bad 400"},
    {"GET /new HTTP/1.1\r\n\r\n", "GET /new|bad 400"}, /* no Host */
    {"GET /new HTTP/1.1\r\n" H H "\r\n", "GET /new|host=h|bad 400"},
    {"GET new HTTP/1.1\r\n", "|bad 400"},
    {"GET http://h/new HTTP/1.1\r\n", "|bad 400"},
    {"GET /a b HTTP/1.1\r\n", "|bad 400"},
    {"GET /\x80 HTTP/1.1\r\n", "|bad 400"},
    {"GET  /new HTTP/1.1\r\n", "|bad 400"},
    {"GET /new HTTP/2.0\r\n", "|bad 505"},
    {"GET /new HTTP/1.1 \r\n", "|bad 505"},
    {"GET /new\r\n", "|bad 400"},
    {"\r\nGET /new HTTP/1.1\r\n", "|bad 400"},
    {"G{T /new HTTP/1.1\r\n", "|bad 400"},
    {"EXTRAORDINARILYLONG /new HTTP/1.1\r\n", "|bad 501"},
    {"\x16\x03\x01\x02", ""}, /* TLS, not yet a line */
};

static void test_table(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 2, 5, SIZE_MAX};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
            char *got = read_as_text(cases[i].bytes, strlen(cases[i].bytes), steps[s]);
            if (strcmp(got, cases[i].want) != 0) {
                fail_msg("case %zu by %zu: '%s', not '%s'", i, steps[s], got,
                         cases[i].want);
            }
            free(got);
        }
    }
}

static void test_nul_in_head(void **state)
{
    (void)state;
    static const char bytes[] = "GET /new HTTP/1.1\r\nA: b\0c\r\n\r\n";
    char *got = read_as_text(bytes, sizeof(bytes) - 1, SIZE_MAX);
    assert_string_equal(got, "GET /new|bad 400");
    free(got);
}

/* A request with a target, a line and a number of lines of that size. */
static void check_size(size_t target, size_t line, size_t lines, const char *want)
{
    struct cm_buf b;
    cm_buf_init(&b, 64u << 20);
    cm_buf_str(&b, "GET /");
    for (size_t i = 1; i < target; i++) {
        cm_buf_str(&b, "t");
    }
    cm_buf_str(&b, " HTTP/1.1\r\n" H);
    for (size_t n = 0; n < lines; n++) {
        cm_buf_str(&b, "a:");
        for (size_t i = 2; i < line; i++) {
            cm_buf_str(&b, "v");
        }
        cm_buf_str(&b, "\r\n");
    }
    cm_buf_str(&b, "\r\n");
    char *got = read_as_text(b.data, b.len, SIZE_MAX);
    assert_string_equal(got + strlen(got) - strlen(want), want);
    free(got);
    cm_buf_clear(&b);
}

static void test_limits(void **state)
{
    (void)state;
    check_size(REQUEST_TARGET_MAX, 10, 1, "|0|end");
    check_size(REQUEST_TARGET_MAX + 1, 10, 1, "|bad 414");
    check_size(REQUEST_LINE_MAX, 10, 1, "|bad 414");
    check_size(1, REQUEST_LINE_MAX, 1, "|0|end");
    check_size(1, REQUEST_LINE_MAX + 1, 1, "|bad 431");
    check_size(1, 3, REQUEST_FIELDS_MAX - 1, "|0|end");
    check_size(1, 3, REQUEST_FIELDS_MAX, "|bad 431");
    check_size(1, 8000, REQUEST_HEAD_MAX / 8002 - 1, "|0|end");
    check_size(1, 8000, REQUEST_HEAD_MAX / 8002 + 1, "|bad 431");
}

/* A line that never ends costs no more than its limit. */
static void test_endless_line(void **state)
{
    (void)state;
    struct request r;
    struct request_event e;
    size_t used;
    char piece[1000];
    memset(piece, 'x', sizeof(piece));
    request_init(&r);
    for (int i = 0; i < 1000; i++) {
        request_next(&r, piece, sizeof(piece), &used, &e);
    }
    assert_int_equal(e.type, REQUEST_BAD);
    assert_int_equal(r.status, 414);
    assert_true(r.line.cap <= REQUEST_LINE_MAX + 64);
    request_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_nul_in_head),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_endless_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
