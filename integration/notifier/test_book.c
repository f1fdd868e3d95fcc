/* The book, and HTTP/1.1 byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "book.h"
#include "talk.h"

static struct mood parsed(const char *text)
{
    struct mood mood;
    struct cm_err err;
    if (mood_parse(text, &mood, &err) != 0)
        fail_msg("%s", err.text);
    return mood;
}

static void test_moods_read_as_written(void **state)
{
    (void)state;
    static const char *const good[] = {
        "200", "410", "500", "slow:7:200", "slow:3600000:503", "silent", "refuse"};
    static const char *const bad[] = {
        "",      "99",     "600",     "2000",      "-1",           "200x",   "slow",
        "slow:", "slow:x", "slow:1:", "slow:1:99", "slow:3600001", "Silent", " 200"};
    char text[32];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct mood mood = parsed(good[i]);
        mood_text(&mood, text);
        assert_string_equal(text, good[i]);
    }
    assert_int_equal(parsed("slow:40").status, 200);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct mood mood;
        struct cm_err err;
        assert_int_equal(mood_parse(bad[i], &mood, &err), -1);
    }
}

static int status_of(const struct book *book, const char *token)
{
    return book_mood(book, token, strlen(token))->status;
}

static void set(struct book *book, const char *prefix, const char *text)
{
    struct mood mood = parsed(text);
    struct cm_err err;
    assert_int_equal(book_set_mood(book, prefix, &mood, &err), 0);
}

static void test_longest_prefix_decides(void **state)
{
    (void)state;
    struct book *book = book_new();
    assert_int_equal(status_of(book, "anything"), 200);
    set(book, "dead", "410");
    set(book, "deadline", "500");
    set(book, "", "503");
    assert_int_equal(status_of(book, "deadbeef"), 410);
    assert_int_equal(status_of(book, "deadlines"), 500);
    assert_int_equal(status_of(book, "dea"), 503);
    assert_int_equal(status_of(book, ""), 503);
    set(book, "dead", "201"); /* takes the place of the old one */
    assert_int_equal(status_of(book, "deadbeef"), 201);
    book_clear_moods(book);
    assert_int_equal(status_of(book, "deadbeef"), 200);
    for (int i = 1; i < BOOK_MOODS_MAX; i++) {
        char prefix[16];
        snprintf(prefix, sizeof(prefix), "p%d", i);
        set(book, prefix, "410");
    }
    struct mood mood = parsed("410");
    struct cm_err err;
    assert_int_equal(book_set_mood(book, "one more", &mood, &err), -1);
    book_free(&book);
}

static void test_entries(void **state)
{
    (void)state;
    struct book *book = book_new();
    char token[] = "x0\0y";
    for (int i = 0; i < 3000; i++) {
        token[1] = (char)('0' + i % 3);
        struct book_entry e = {.stream = i, .token = token, .token_len = 4};
        book_add(book, &e);
    }
    assert_int_equal(book_total(book), 3000);
    assert_int_equal(book_count(book, ""), 3000);
    assert_int_equal(book_count(book, "x1"), 1000);
    assert_int_equal(book_count(book, "x3"), 0);
    assert_memory_equal(book_at(book, 2999)->token, "x2\0y", 4);
    assert_null(book_at(book, 3000));
    book_forget(book);
    assert_null(book_at(book, 0));
    assert_int_equal(book_total(book), 0);
    book_free(&book);
}

/* ---- HTTP/1.1 ---- */

static char asked[256];
static struct talk *talk;
static int status;

static void on_request(void *ctx, int32_t stream, bool notify, const char *body,
                       size_t len)
{
    (void)ctx;
    size_t at = strlen(asked);
    snprintf(asked + at, sizeof(asked) - at, "%d%s:%.*s;", stream, notify ? "" : "!",
             (int)len, body);
    if (status != 0)
        talk_answer(talk, stream, status);
}

static void test_http1(void **state)
{
    (void)state;
    static const char text[] =
        "POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        "POST /other HTTP/1.1\r\ncontent-length:1\r\n\r\nd"
        "GET /notify HTTP/1.1\r\n\r\n"
        "POST /notify HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    struct cm_buf out;
    for (size_t piece = 1; piece <= sizeof(text); piece += 7) {
        cm_buf_init(&out, 4096);
        status = 410;
        asked[0] = '\0';
        talk = talk_h1_new(on_request, NULL);
        for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
            size_t left = sizeof(text) - 1 - at;
            assert_int_equal(talk_input(talk, text + at, left < piece ? left : piece),
                             0);
            talk_output(talk, &out);
        }
        assert_string_equal(asked, "1:abc;2!:d;3!:;4:;");
        assert_true(talk_is_over(talk));
        assert_non_null(
            strstr(out.data, "HTTP/1.1 410 -\r\nContent-Length: 0\r\n\r\n"));
        talk_free(&talk);
        cm_buf_clear(&out);
    }
}

/* The next is taken when the one before has its answer. */
static void test_http1_waits(void **state)
{
    (void)state;
    static const char one[] = "POST /notify HTTP/1.1\r\nContent-Length: 1\r\n\r\nx";
    struct cm_buf out;
    cm_buf_init(&out, 4096);
    status = 0;
    asked[0] = '\0';
    talk = talk_h1_new(on_request, NULL);
    assert_int_equal(talk_input(talk, one, strlen(one)), 0);
    assert_int_equal(talk_input(talk, one, strlen(one)), 0);
    talk_output(talk, &out);
    assert_string_equal(asked, "1:x;");
    assert_int_equal(out.len, 0);
    talk_answer(talk, 1, 200);
    talk_output(talk, &out);
    assert_string_equal(asked, "1:x;2:x;");
    assert_int_equal(strncmp(out.data, "HTTP/1.1 200", 12), 0);
    talk_free(&talk);
    cm_buf_clear(&out);
}

static void test_http1_nonsense(void **state)
{
    (void)state;
    char *big = calloc(1, TALK_HEADER_MAX + 2);
    memset(big, 'x', TALK_HEADER_MAX + 1);
    const char *const texts[] = {
        big, "POST /notify HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /notify HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"};
    for (size_t i = 0; i < 3; i++) {
        talk = talk_h1_new(on_request, NULL);
        assert_int_equal(talk_input(talk, texts[i], strlen(texts[i])), -1);
        talk_free(&talk);
    }
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moods_read_as_written),
        cmocka_unit_test(test_longest_prefix_decides),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_http1),
        cmocka_unit_test(test_http1_waits),
        cmocka_unit_test(test_http1_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
