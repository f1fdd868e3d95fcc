#include "mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"

#include "decode.h"

static const char *const marks[] = {
    [MIME_PREAMBLE] = "<", [MIME_DATA] = "=", [MIME_EPILOGUE] = ">"};

/* "(" part "=" data ")" ... ">" epilogue "C" closed, "O" open, "!" bad. Pieces of one
 * kind are joined. */
static void cut(const char *boundary, const char *text, size_t chunk,
                struct cm_buf *out)
{
    static struct mime m;
    size_t len = strlen(text);
    enum mime_event last = MIME_MORE, event = MIME_MORE;
    mime_init(&m, boundary);
    cm_buf_reset(out);
    for (size_t at = 0; at <= len && event != MIME_BAD; at += chunk) {
        if (at + chunk > len) {
            chunk = len - at;
        }
        char *copy = malloc(chunk + 1); /* so that ASan sees a read past its end */
        memcpy(copy, text + at, chunk);
        mime_push(&m, copy, chunk);
        for (bool end = false;;) {
            event = mime_next(&m);
            if (event == MIME_MORE && at + chunk == len && !end) {
                end = true;
                mime_end(&m);
                continue;
            }
            if (event == MIME_MORE || event == MIME_BAD) {
                break;
            }
            if (event == MIME_PART || event == MIME_PART_END) {
                cm_buf_str(out, event == MIME_PART ? "(" : ")");
            } else {
                cm_buf_str(out, event == last ? "" : marks[event]);
                cm_buf_add(out, m.piece, m.piece_len);
                assert_true(m.piece_len > 0);
            }
            last = event;
        }
        free(copy);
        if (at + chunk == len) {
            break;
        }
    }
    cm_buf_str(out, event == MIME_BAD ? "!" : mime_closed(&m) ? "C" : "O");
}

static const struct {
    const char *boundary, *text, *cut;
} table[] = {
    {"b", "--b\r\n\r\none\r\n--b\r\nA: b\r\n\r\ntwo\r\n--b--\r\n", "(=one)(=two)C"},
    {"b", "--b\n\none\n--b--\n", "(=one)C"},
    {"b", "--b\r\n\r\none\r\n--b--", "(=one)C"},
    {"b", "--b\r\n\r\none\r\n--b", "(=one)O"},
    {"b", "--b\r\n\r\none\r\n--", "(=one\r\n--O"},
    {"b", "--b\r\n\r\none\r\n", "(=one\r\nO"},
    {"b", "hello\r\nyou\r\n--b\r\n\r\nx\r\n--b--\r\nbye\r\n",
     "<hello\r\nyou(=x)>bye\r\nC"},
    {"b", "--b \t\r\n\r\nx\r\n--b-- \r\n", "(=x)C"},
    {"b", "--b\r\n\r\n--b--\r\n", "()C"},
    {"b", "--b\r\n\r\n\r\n--b--\r\n", "()C"},
    {"b", "--b\r\n\r\n\r\n\r\n--b--\r\n", "(=\r\n)C"},
    {"b", "--b\r\n\r\na\r\n-\r\n--\r\n--a\r\n--b--\r\n", "(=a\r\n-\r\n--\r\n--a)C"},
    {"b", "--b\r\n\r\na\rb\r\r\n--b--\r\n", "(=a\rb\r)C"},
    {"b", "--b\r\n\r\nx\r\n--bb\r\n--b--\r\n", "(=x!"},
    {"b", "--b\r\n\r\nx\r\n--b-\r\n--b--\r\n", "(=x!"},
    {"b", "--b\r\n\r\nx\r\n--b--\r\n--b\r\n", "(=x)!"},
    {"b", "--b\r\nA: b\r\n--b--\r\n", "!"},
    {"b", "--b\r\nno field\r\n\r\n", "!"},
    {"a:b", "--a:b\r\nA: b\r\n--a:b--\r\n\r\n", "!"},
    {"b", "--b--\r\n", "C"},
    {"b", "", "O"},
    {"--", "----\r\n\r\n--x\r\n------\r\n", "(=--x)C"},
};

static void parts_are_cut_in_any_chunking(void **state)
{
    (void)state;
    struct cm_buf out;
    cm_buf_init(&out, 65536);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        for (size_t chunk = 1; chunk <= strlen(table[i].text) + 1; chunk++) {
            cut(table[i].boundary, table[i].text, chunk, &out);
            if (strcmp(out.data, table[i].cut) != 0) {
                fail_msg("row %zu, chunks of %zu: %s", i, chunk, out.data);
            }
        }
    }
    cm_buf_clear(&out);
}

static void limits_hold(void **state)
{
    (void)state;
    struct cm_buf text, out;
    cm_buf_init(&text, 65536);
    cm_buf_init(&out, 65536);
    for (int i = 0; i < MIME_PARTS_MAX; i++) {
        cm_buf_str(&text, "--b\r\n\r\n");
    }
    cm_buf_str(&text, "--b--\r\n");
    cut("b", text.data, 50, &out);
    assert_string_equal(out.data, "()()()()()()()()C");
    cm_buf_reset(&text);
    for (int i = 0; i <= MIME_PARTS_MAX; i++) {
        cm_buf_str(&text, "--b\r\n\r\n");
    }
    cut("b", text.data, 50, &out);
    assert_string_equal(out.data, "()()()()()()()()!");
    cm_buf_reset(&text);
    cm_buf_str(&text, "--b\r\n");
    for (int i = 0; i < MIME_PART_HEADER_MAX / 8; i++) {
        cm_buf_str(&text, "A: bcd\r\n");
    }
    cm_buf_str(&text, "\r\nx\r\n--b--\r\n");
    cut("b", text.data, 100, &out);
    assert_string_equal(out.data, "!");
    cm_buf_reset(&text);
    cm_buf_fmt(&text, "--b%*s\r\n", 300, "");
    cut("b", text.data, 100, &out);
    assert_string_equal(out.data, "!");
    cm_buf_clear(&text);
    cm_buf_clear(&out);
}

/* text NULL: broken. */
static const struct {
    const char *encoding, *data, *text;
} encodings[] = {
    {"", "a\r\nb=", "a\r\nb="},
    {"8BIT", "\xff", "\xff"},
    {"Base64", "SGVs\r\nbG8=\r\n", "Hello"},
    {"base64", "SGVsbA==", "Hell"},
    {"base64", "SG Vs", "Hel"},
    {"base64", "SGVsbA", NULL},
    {"base64", "SGVsbA=", NULL},
    {"base64", "SGVs=", NULL},
    {"base64", "SGVsbA==SGVs", NULL},
    {"base64", "SGVsb-8=", NULL},
    {"quoted-printable", "a=3Db=\r\nc=3d\r\n", "a=bc=\r\n"},
    {"quoted-printable", "a= \r\nb", "ab"},
    {"quoted-printable", "a=zz", NULL},
    {"quoted-printable", "a=4", NULL},
    {"quoted-printable", "a=4x", NULL},
    {"x-uuencode", "a", NULL},
};

static void encodings_are_taken_off(void **state)
{
    (void)state;
    struct cm_buf out;
    cm_buf_init(&out, 65536);
    for (size_t i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++) {
        size_t len = strlen(encodings[i].data);
        for (size_t chunk = 1; chunk <= len; chunk++) {
            static struct decode d;
            cm_buf_reset(&out);
            bool known = decode_init(&d, encodings[i].encoding);
            for (size_t at = 0; at < len; at += chunk) {
                size_t n = len - at < chunk ? len - at : chunk;
                decode_push(&d, encodings[i].data + at, n);
                while (decode_next(&d)) {
                    cm_buf_add(&out, d.piece, d.piece_len);
                }
            }
            bool ok = known && decode_end(&d);
            if (ok != (encodings[i].text != NULL) ||
                (ok && strcmp(out.data, encodings[i].text) != 0)) {
                fail_msg("row %zu, chunks of %zu: %s", i, chunk, out.data);
            }
        }
    }
    cm_buf_clear(&out);
}

static void a_long_text_is_decoded_whole(void **state)
{
    (void)state;
    static struct decode d;
    static char text[100000];
    size_t got = 0;
    memset(text, 'A', sizeof(text));
    assert_true(decode_init(&d, "base64"));
    decode_push(&d, text, sizeof(text));
    while (decode_next(&d)) {
        got += d.piece_len;
    }
    assert_true(decode_end(&d));
    assert_int_equal(got, sizeof(text) / 4 * 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_cut_in_any_chunking),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(encodings_are_taken_off),
        cmocka_unit_test(a_long_text_is_decoded_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
