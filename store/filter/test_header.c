#include "header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"

#include "content_type.h"

/* "name=value;" for each field, then "END", "BAD" or "MORE". */
static void read_all(const char *text, size_t chunk, struct cm_buf *out)
{
    struct header_reader r;
    header_reader_init(&r);
    size_t len = strlen(text), at = 0;
    enum header_event event = HEADER_MORE;
    cm_buf_reset(out);
    while (at < len && event != HEADER_END && event != HEADER_BAD) {
        size_t n = len - at < chunk ? len - at : chunk, taken = 0;
        do {
            size_t k = header_read(&r, text + at + taken, n - taken, &event);
            taken += k;
            if (event == HEADER_FIELD) {
                cm_buf_add(out, r.name, r.name_len);
                cm_buf_str(out, "=");
                cm_buf_add(out, r.value, r.value_len);
                cm_buf_str(out, r.cut ? "~;" : ";");
            }
        } while (event == HEADER_FIELD && taken < n);
        at += taken;
    }
    if (event != HEADER_END && event != HEADER_BAD) {
        event = header_read_end(&r);
        if (event == HEADER_FIELD) {
            cm_buf_add(out, r.name, r.name_len);
            cm_buf_str(out, "=");
            cm_buf_add(out, r.value, r.value_len);
            cm_buf_str(out, ";");
            event = header_read_end(&r);
        }
        cm_buf_str(out, "EOF ");
    }
    cm_buf_str(out, event == HEADER_END ? "END" : "BAD");
    cm_buf_fmt(out, "+%s", text + at);
}

static const struct {
    const char *text, *read;
} table[] = {
    {"A: b\r\n\r\nbody", "A= b;END+body"},
    {"A: b\n\nbody", "A= b;END+body"},
    {"A:b\r\nC-d : e\r\n\r\n", "A=b;C-d= e;END+"},
    {"A: b\r\n  c\r\n\td\r\n\r\n", "A= b\r\n  c\r\n\td;END+"},
    {"A: b\r\n \r\nC:\r\n\r\n", "A= b\r\n ;C=;END+"},
    {"\r\nbody", "END+body"},
    {"\nbody", "END+body"},
    {"A: b\r\n", "A= b;EOF END+"},
    {"A: b", "A= b;EOF END+"},
    {"", "EOF END+"},
    {"no colon\r\n\r\n", "BAD+\r\n"},
    {": no name\r\n\r\n", "BAD+\r\n"},
    {" begins folded\r\n\r\n", "BAD+\r\n"},
    {"two words: x\r\n\r\n", "BAD+\r\n"},
    {"A: b\r\nno colon", "A= b;EOF BAD+"},
};

static void fields_come_out_in_any_chunking(void **state)
{
    (void)state;
    struct cm_buf out;
    cm_buf_init(&out, 65536);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        for (size_t chunk = 1; chunk <= strlen(table[i].text) + 1; chunk++) {
            read_all(table[i].text, chunk, &out);
            assert_string_equal(out.data, table[i].read);
        }
    }
    cm_buf_clear(&out);
}

static void a_long_field_is_cut(void **state)
{
    (void)state;
    static char text[3 * HEADER_FIELD_MAX];
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text, "A:", 2);
    memcpy(text + sizeof(text) - 12, "\r\nB:c\r\n\r\n\0\0", 12);
    struct cm_buf out;
    cm_buf_init(&out, 1 << 20);
    for (size_t chunk = 1; chunk < 9000; chunk += 997) {
        read_all(text, chunk, &out);
        assert_non_null(strstr(out.data, "xxx~;B=c;END+"));
        assert_in_range(out.len, HEADER_FIELD_MAX - 2, HEADER_FIELD_MAX + 64);
    }
    cm_buf_clear(&out);
}

static void values_are_unfolded(void **state)
{
    (void)state;
    char out[16];
    assert_int_equal(header_unfold(" a\r\n b ", 7, out, sizeof(out)), 3);
    assert_string_equal(out, "a b");
    assert_int_equal(header_unfold("\t a\tb\001", 6, out, sizeof(out)), 3);
    assert_string_equal(out, "a b");
    assert_int_equal(header_unfold(" \r\n ", 4, out, sizeof(out)), 0);
    assert_int_equal(header_unfold("0123456789abcdef", 16, out, sizeof(out)), 16);
    assert_string_equal(out, "");
}

static void known_fields_are_kept(void **state)
{
    (void)state;
    static struct fields fields;
    static char big[FIELD_TEXT_MAX + 10];
    memset(big, 'x', sizeof(big));
    fields_init(&fields);
    fields_add(&fields, "from", 4, " <a@b>", 6, false);
    fields_add(&fields, "X-Other", 7, " y", 2, false);
    fields_add(&fields, "SUBJECT ", 8, " one", 4, false);
    fields_add(&fields, "Subject", 7, " two", 4, false);
    fields_add(&fields, "Secure-Join", 11, big, sizeof(big), false);
    fields_add(&fields, "Auto-Submitted", 14, "x", 1, true);
    assert_string_equal(fields_once(&fields, FIELD_FROM), "<a@b>");
    assert_null(fields_once(&fields, FIELD_SUBJECT));
    assert_int_equal(fields.field[FIELD_SUBJECT].count, 2);
    assert_string_equal(fields.field[FIELD_SUBJECT].text, "one");
    assert_null(fields_once(&fields, FIELD_SECURE_JOIN));
    assert_null(fields_once(&fields, FIELD_AUTO_SUBMITTED));
    assert_null(fields_once(&fields, FIELD_ENCODING));
}

/* boundary NULL: no Content-Type. */
static const struct {
    const char *value, *name, *boundary;
} types[] = {
    {"text/plain", "text/plain", ""},
    {"Text / Plain ; charset=x", "Text/Plain", ""},
    {"multipart/mixed; boundary=abc", "multipart/mixed", "abc"},
    {"multipart/mixed; boundary=\"a b\\\"c\"", "multipart/mixed", "a b\"c"},
    {"multipart/mixed; boundary=----=_Part_1; x=y", "multipart/mixed", "----=_Part_1"},
    {"multipart/encrypted;protocol=application/pgp-encrypted;BOUNDARY=x;",
     "multipart/encrypted", "x"},
    {"multipart/mixed; boundary=a; boundary=b", "multipart/mixed", NULL},
    {"multipart/mixed; boundary*0=a; boundary*1=b", "multipart/mixed", NULL},
    {"multipart/mixed; boundary=\"a ", "multipart/mixed", NULL},
    {"multipart/mixed; boundary=\"a \"", "multipart/mixed", NULL},
    {"multipart/mixed; boundary=\"\"", "multipart/mixed", NULL},
    {"multipart/mixed; boundary=1234567890123456789012345678901234567890123456789012345"
     "67890123456789012",
     "multipart/mixed", NULL},
    {"multipart/mixed; boundary", "multipart/mixed", NULL},
    {"multipart", NULL, NULL},
    {"", NULL, NULL},
    {"/x", NULL, NULL},
    {"a/b c", "a/b", NULL},
};

static void content_types_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct ctype ctype;
        bool ok = ctype_parse(types[i].value, &ctype);
        if (ok != (types[i].boundary != NULL)) {
            fail_msg("row %zu: %s", i, types[i].value);
        }
        if (ok) {
            assert_string_equal(ctype.name, types[i].name);
            assert_string_equal(ctype.boundary, types[i].boundary);
        }
    }
    struct ctype ctype;
    assert_true(ctype_parse("MULTIPART/Mixed", &ctype));
    assert_true(ctype_is(&ctype, "multipart/"));
    assert_true(ctype_is(&ctype, "multipart/mixed"));
    assert_false(ctype_is(&ctype, "multipart/mixe"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_come_out_in_any_chunking),
        cmocka_unit_test(a_long_field_is_cut),
        cmocka_unit_test(values_are_unfolded),
        cmocka_unit_test(known_fields_are_kept),
        cmocka_unit_test(content_types_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
