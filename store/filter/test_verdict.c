#include "verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/mem.h"
#include "letters/letters.h"

#include "judge.h"

#define FROM "one@example.org"
#define TO   "two@example.net"

static struct verdict v;

static enum verdict_kind kind_of(enum verdict_side side, const char *text)
{
    static const size_t chunks[] = {1, 3, 77, 4096};
    size_t len = strlen(text);
    judge_message(&v, side, text, len, len + 1);
    enum verdict_kind kind = verdict_kind(&v);
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        judge_message(&v, side, text, len, chunks[i]);
        assert_int_equal(verdict_kind(&v), kind);
    }
    return kind;
}

/* relay-spec.md 6.8, rows 1 to 4. */
static const struct {
    enum letter letter;
    enum verdict_kind out, in;
} table[] = {
    {LETTER_ENCRYPTED, VERDICT_ENCRYPTED, VERDICT_ENCRYPTED},
    {LETTER_FAKE_ENCRYPTED, VERDICT_CLEAR, VERDICT_CLEAR},
    {LETTER_LITERAL, VERDICT_CLEAR, VERDICT_CLEAR},
    {LETTER_PLAIN, VERDICT_CLEAR, VERDICT_CLEAR},
    {LETTER_MDN, VERDICT_CLEAR, VERDICT_CLEAR},
    {LETTER_SETUP, VERDICT_SETUP, VERDICT_CLEAR},
    {LETTER_MAILER_DAEMON, VERDICT_CLEAR, VERDICT_REPORT},
    {LETTER_SECUREJOIN, VERDICT_SECUREJOIN, VERDICT_SECUREJOIN},
    {LETTER_SECUREJOIN_FAKE, VERDICT_CLEAR, VERDICT_CLEAR},
};

static void every_letter_is_what_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char *text = letter_text(table[i].letter, FROM, TO, "x@y");
        if (kind_of(VERDICT_OUTGOING, text) != table[i].out ||
            kind_of(VERDICT_INCOMING, text) != table[i].in) {
            fail_msg("%s: %s", letter_name(table[i].letter), verdict_reason(&v));
        }
        assert_null(v.from_problem);
        free(text);
    }
}

static void both_sizes_of_message_pass(void **state)
{
    (void)state;
    for (size_t size = 10000; size < 3000000; size *= 17) {
        char *text = letter_of_size(FROM, TO, "x@y", size);
        size_t len = strlen(text);
        assert_in_range(len, size * 9 / 10, size * 12 / 10 + 2000);
        judge_message(&v, VERDICT_OUTGOING, text, len, 65535);
        assert_int_equal(verdict_kind(&v), VERDICT_ENCRYPTED);
        free(text);
    }
}

/* Changes one place of a good letter; NULL at the end. */
struct change {
    const char *was, *is;
    bool ok; /* still encrypted */
};

static char *changed(const char *text, const char *was, const char *is)
{
    const char *at = strstr(text, was);
    assert_non_null(at);
    return cm_asprintf("%.*s%s%s", (int)(at - text), text, is, at + strlen(was));
}

static const struct change encrypted[] = {
    {"multipart/encrypted", "Multipart/Encrypted", true},
    {"multipart/encrypted", "multipart/mixed", false},
    {"application/pgp-encrypted\r\n\r\n", "APPLICATION/PGP-Encrypted\r\n\r\n", true},
    {"application/pgp-encrypted\r\n\r\n", "text/plain\r\n\r\n", false},
    {"application/octet-stream", "text/plain", false},
    {"Content-Type: application/octet-stream", "X-Type: x", false},
    {"Version: 1\r\n", "  Version: 1  \r\n\r\n", true},
    {"Version: 1\r\n", "Version: 2\r\n", false},
    {"Version: 1\r\n", "Version: 1\r\nHi!\r\n", false},
    {"Version: 1\r\n", "", false},
    {"--letter_0-1\r\n", "\r\n--letter_0-1\r\n", true},
    {"--letter_0-1\r\n",
     "This is an OpenPGP/MIME encrypted message (RFC 4880 and "
     "3156)\r\n--letter_0-1\r\n",
     true},
    {"--letter_0-1\r\n", "Hi!\r\n--letter_0-1\r\n", false},
    {"--letter_0-1--\r\n", "--letter_0-1--\r\n \r\n\r\n", true},
    {"--letter_0-1--\r\n", "--letter_0-1--\r\nHi!\r\n", false},
    {"--letter_0-1--\r\n", "--letter_0-1--", true},
    {"--letter_0-1--\r\n", "", false},
    {"--letter_0-1--\r\n",
     "--letter_0-1\r\nContent-Type: text/plain\r\n\r\nHi!\r\n--letter_0-1--\r\n",
     false},
    {"--letter_0-1--\r\n", "--letter_0-1\r\n--letter_0-1--\r\n", false},
    {"--letter_0-1--\r\n", "--letter_0-1--\r\n--letter_0-1--\r\n", false},
    {"\"letter_0-1\"", "\"\"", false},
    {"\"letter_0-1\"", "\"other\"", false},
    {"Chat-Version", "Content-Transfer-Encoding: 7bit\r\nChat-Version", true},
    {"Chat-Version", "Content-Transfer-Encoding: base64\r\nChat-Version", false},
    {"Chat-Version", "Content-Type: text/plain\r\nChat-Version", false},
    {"Content-Disposition: inline", "Content-Transfer-Encoding: 8bit\r\nX: y", true},
    {"Content-Disposition: inline", "Content-Transfer-Encoding: base64\r\nX: y", false},
    {"Content-Disposition: inline", "Content-Transfer-Encoding: x-foo\r\nX: y", false},
    {"Content-Disposition: inline", "Content-Type: text/html\r\nX: y", false},
    {"-----BEGIN PGP MESSAGE-----", "Hi!\r\n-----BEGIN PGP MESSAGE-----", false},
    {"-----BEGIN PGP MESSAGE-----", "-----BEGIN PGP MESSAGE-----\r\nHi!", false},
    {"-----END PGP MESSAGE-----", "-----END PGP MESSAGE-----\r\nHi!", false},
    {"-----END PGP MESSAGE-----", "", false},
};

static void only_the_exact_shape_is_encrypted(void **state)
{
    (void)state;
    char *good = letter_text(LETTER_ENCRYPTED, FROM, TO, "x@y");
    for (size_t i = 0; i < sizeof(encrypted) / sizeof(encrypted[0]); i++) {
        char *text = changed(good, encrypted[i].was, encrypted[i].is);
        bool ok = kind_of(VERDICT_OUTGOING, text) == VERDICT_ENCRYPTED;
        if (ok != encrypted[i].ok) {
            fail_msg("%s -> %s: %s", encrypted[i].was, encrypted[i].is,
                     verdict_reason(&v));
        }
        free(text);
    }
    free(good);
}

static void one_part_is_not_enough(void **state)
{
    (void)state;
    const char *text = "From: " FROM "\r\nContent-Type: multipart/encrypted; "
                       "boundary=b\r\n\r\n--b\r\nContent-Type: "
                       "application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b--\r\n";
    assert_int_equal(kind_of(VERDICT_INCOMING, text), VERDICT_CLEAR);
    assert_string_equal(verdict_reason(&v), "parts are missing");
}

/* What the transfer encoding hides is looked at. */
static void encoded_parts_are_decoded(void **state)
{
    (void)state;
    size_t len;
    unsigned char *packets = letter_packets(300, 0, &len);
    char *armour = letter_armour(packets, len, NULL);
    struct cm_buf quoted;
    cm_buf_init(&quoted, 65536);
    for (const char *p = armour; *p != '\0'; p++) {
        cm_buf_fmt(&quoted, *p == '=' || *p == '-' ? "=%02X" : "%c", *p);
    }
    char *twice = letter_armour((const unsigned char *)armour, strlen(armour), NULL);
    char *base64 = strchr(twice, '\n') + 3; /* behind the BEGIN line */
    strstr(base64, "-----END")[0] = '\0';
    const char *const bodies[][2] = {{"quoted-printable", quoted.data},
                                     {"base64", base64}};
    for (size_t i = 0; i < 2; i++) {
        char *good = letter_around(FROM, TO, "x@y", bodies[i][1]);
        char *text = changed(good, "Content-Disposition", "X-Disposition");
        char *is =
            cm_asprintf("Content-Transfer-Encoding: %s\r\nX-Disposition", bodies[i][0]);
        char *full = changed(text, "X-Disposition", is);
        if (kind_of(VERDICT_OUTGOING, full) != VERDICT_ENCRYPTED) {
            fail_msg("%s: %s", bodies[i][0], verdict_reason(&v));
        }
        free(good);
        free(text);
        free(is);
        free(full);
    }
    cm_buf_clear(&quoted);
    free(twice);
    free(armour);
    free(packets);
}

static const struct change securejoin[] = {
    {"vc-request\r\nSecure", "vg-request\r\nSecure", true},
    {"vc-request\r\nSecure", "VC-request\r\nSecure", false},
    {"vc-request\r\nSecure", "vc-auth-required\r\nSecure", false},
    {"vc-request\r\nSecure", "vc-request\r\nSecure-Join: vc-request\r\nSecure", false},
    {"Secure-Join: vc-request\r\n\r\n", " SECURE-JOIN: VG-REQUEST \r\n\r\n", true},
    {"Secure-Join: vc-request\r\n\r\n", "Secure-Join: vc-request\r\nHi!\r\n\r\n",
     false},
    {"7bit", "quoted-printable", true},
    {"7bit", "base64", false},
    {"text/plain", "text/html", false},
    {"Content-Type: text/plain; charset=utf-8; format=flowed;\r\n delsp=no\r\n", "",
     true},
    {"multipart/mixed", "multipart/alternative", true},
    {"multipart/mixed", "text/plain", false},
    {"--letter_5--", "--letter_5\r\n\r\nmore\r\n--letter_5--", false},
};

static void only_a_securejoin_request_is_one(void **state)
{
    (void)state;
    char *good = letter_text(LETTER_SECUREJOIN, FROM, TO, "x@y");
    for (size_t i = 0; i < sizeof(securejoin) / sizeof(securejoin[0]); i++) {
        char *text = changed(good, securejoin[i].was, securejoin[i].is);
        bool ok = kind_of(VERDICT_INCOMING, text) == VERDICT_SECUREJOIN;
        if (ok != securejoin[i].ok) {
            fail_msg("%s -> %s: %s", securejoin[i].was, securejoin[i].is,
                     verdict_reason(&v));
        }
        free(text);
    }
    struct cm_buf many;
    cm_buf_init(&many, 65536);
    while (many.len <= VERDICT_CLEAR_HEADER_MAX) {
        cm_buf_fmt(&many, "X-Text: %0900d\r\n", 1);
    }
    cm_buf_str(&many, "Chat-Version");
    char *text = changed(good, "Chat-Version", many.data);
    assert_int_equal(kind_of(VERDICT_OUTGOING, text), VERDICT_CLEAR);
    cm_buf_clear(&many);
    free(text);
    free(good);
}

static void the_from_field_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *header, *from, *problem;
    } froms[] = {
        {"From: a@b\r\n", "a@b", NULL},
        {"from : \"x\" <A@B>\r\n", "a@b", NULL},
        {"From:\r\n Foo\r\n <a@b>\r\n", "a@b", NULL},
        {"Subject: x\r\n", "", "there is none"},
        {"From: a@b\r\nFrom: a@b\r\n", "", "more than one"},
        {"From: nobody\r\n", "", "no address"},
    };
    for (size_t i = 0; i < sizeof(froms) / sizeof(froms[0]); i++) {
        char *text = cm_asprintf("%s\r\nHi!\r\n", froms[i].header);
        judge_message(&v, VERDICT_OUTGOING, text, strlen(text), 10);
        if (froms[i].problem == NULL) {
            assert_null(v.from_problem);
            assert_string_equal(v.from, froms[i].from);
        } else {
            assert_string_equal(v.from_problem, froms[i].problem);
        }
        free(text);
    }
}

static void the_daemon_s_report_is_one(void **state)
{
    (void)state;
    static const struct change rows[] = {
        {"MAILER-DAEMON@", "mailer-daemon@", true},
        {"MAILER-DAEMON@", "daemon@", false},
        {"Auto-Submitted: auto-replied", "Auto-Submitted:", false},
        {"Auto-Submitted: auto-replied\r\n", "", false},
        {"multipart/report", "multipart/mixed", false},
    };
    char *good = letter_text(LETTER_MAILER_DAEMON, FROM, TO, "x@y");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = changed(good, rows[i].was, rows[i].is);
        assert_int_equal(kind_of(VERDICT_INCOMING, text) == VERDICT_REPORT, rows[i].ok);
        free(text);
    }
    free(good);
}

/* Mutations of every letter: no crash, and cleartext never becomes encrypted. What was
 * encrypted may stay so (nonsense inside the packets, a changed Subject), so a marker
 * stands where cleartext must not: in preamble, parts and epilogue. */
static uint32_t random_state = 12345;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static size_t mutate(char *text, size_t len)
{
    for (unsigned n = 1 + next_random() % 4; n > 0 && len > 8; n--) {
        size_t at = next_random() % len, m = 1 + next_random() % 40;
        m = m < len - at ? m : len - at;
        switch (next_random() % 5) {
        case 0:
            text[at] = (char)next_random();
            break;
        case 1:
            memmove(text + at, text + at + m, len - at - m);
            len -= m;
            break;
        case 2:
            len = at;
            break;
        case 3: {
            size_t to = next_random() % len;
            memmove(text + to, text + at, m < len - to ? m : len - to);
            break;
        }
        default:
            text[at] = "\r\n-= :"[next_random() % 6];
            break;
        }
    }
    return len;
}

static void mutations_never_let_cleartext_pass(void **state)
{
    (void)state;
    static const enum letter clear[] = {
        LETTER_FAKE_ENCRYPTED, LETTER_LITERAL,       LETTER_PLAIN,          LETTER_MDN,
        LETTER_SETUP,          LETTER_MAILER_DAEMON, LETTER_SECUREJOIN_FAKE};
    for (size_t i = 0; i < sizeof(clear) / sizeof(clear[0]); i++) {
        char *text = letter_text(clear[i], FROM, TO, "x@y");
        size_t len = strlen(text);
        char *copy = cm_malloc(len + 1);
        for (int round = 0; round < 2000; round++) {
            memcpy(copy, text, len + 1);
            size_t n = mutate(copy, len);
            judge_message(&v, VERDICT_OUTGOING, copy, n, 1 + next_random() % 500);
            enum verdict_kind kind = verdict_kind(&v);
            if (kind == VERDICT_ENCRYPTED || kind == VERDICT_SECUREJOIN) {
                fail_msg("%s, round %d: %.*s", letter_name(clear[i]), round, (int)n,
                         copy);
            }
        }
        free(copy);
        free(text);
    }
}

static void mutations_of_encrypted_hide_nothing(void **state)
{
    (void)state;
    char *text = letter_text(LETTER_ENCRYPTED, FROM, TO, "x@y");
    size_t len = strlen(text), body = (size_t)(strstr(text, "\r\n\r\n") - text) + 4;
    char *copy = cm_malloc(len + 64);
    unsigned accepted = 0;
    for (int round = 0; round < 5000; round++) {
        size_t at = body + next_random() % (len - body);
        static const char clear[] = "\r\nHere is clear text!\r\n";
        memcpy(copy, text, at);
        memcpy(copy + at, clear, sizeof(clear) - 1);
        memcpy(copy + at + sizeof(clear) - 1, text + at, len - at);
        judge_message(&v, VERDICT_INCOMING, copy, len + sizeof(clear) - 1,
                      1 + next_random() % 500);
        accepted += verdict_kind(&v) != VERDICT_CLEAR;
        memcpy(copy, text, len);
        judge_message(&v, VERDICT_INCOMING, copy, mutate(copy, len), 100);
    }

    assert_int_equal(accepted, 0);
    free(copy);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_letter_is_what_it_is),
        cmocka_unit_test(both_sizes_of_message_pass),
        cmocka_unit_test(only_the_exact_shape_is_encrypted),
        cmocka_unit_test(one_part_is_not_enough),
        cmocka_unit_test(encoded_parts_are_decoded),
        cmocka_unit_test(only_a_securejoin_request_is_one),
        cmocka_unit_test(the_from_field_is_read),
        cmocka_unit_test(the_daemon_s_report_is_one),
        cmocka_unit_test(mutations_never_let_cleartext_pass),
        cmocka_unit_test(mutations_of_encrypted_hide_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
