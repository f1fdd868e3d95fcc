#include "decide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "letters/letters.h"

#include "judge.h"

#define ONE "one@example.org"

static struct verdict v;

static void read_letter(enum verdict_side side, enum letter letter, const char *from)
{
    char *text = letter_text(letter, from, "two@example.net", "x@y");
    judge_message(&v, side, text, strlen(text), 1000);
    free(text);
}

static struct rcpt to(const char *account, bool disabled, bool enforces)
{
    static char names[64][64];
    static unsigned n;
    char *name = names[n++ % 64];
    snprintf(name, sizeof(names[0]), "%s", account);
    return (struct rcpt){.as_given = name,
                         .account = account[0] != '\0' ? name : NULL,
                         .disabled = disabled,
                         .enforces = enforces};
}

/* "523 text", "250", "drop". */
static const char *outgoing(enum letter letter, const char *from, const char *mail_from,
                            bool sender_disabled, struct rcpt *rcpts, size_t n)
{
    static char said[600];
    struct rcpt sender = to(ONE, sender_disabled, true);
    struct decision d;
    read_letter(VERDICT_OUTGOING, letter, from);
    if (decide_outgoing_content(&v, mail_from, &d)) {
        decide_outgoing(&v, &sender, rcpts, n, &d);
    }
    snprintf(said, sizeof(said), "%s %s",
             d.action == DECIDE_ACCEPT ? "250"
             : d.action == DECIDE_DROP ? "drop"
                                       : d.code,
             d.text);
    return said;
}

#define CLEAR "523 Encryption Needed: Invalid Unencrypted Mail"

/* relay-spec.md 6.8, rows 5 to 9 and 20. */
static void outgoing_mail_is_decided(void **state)
{
    (void)state;
    struct rcpt two = to("two@example.net", false, true), self = to(ONE, false, true);
    struct rcpt off = to("off@example.org", true, true), far = to("", false, false);
    struct rcpt both[] = {self, two};
    assert_string_equal(outgoing(LETTER_ENCRYPTED, ONE, ONE, false, &two, 1), "250 ");
    assert_string_equal(
        outgoing(LETTER_ENCRYPTED, ONE, "One@Example.ORG", false, &two, 1), "250 ");
    assert_string_equal(
        outgoing(LETTER_ENCRYPTED, "evil@example.org", ONE, false, &two, 1),
        "500 Invalid FROM <evil@example.org> for <" ONE ">");
    assert_string_equal(outgoing(LETTER_ENCRYPTED, ONE, "", false, &two, 1),
                        "500 Invalid FROM <" ONE "> for <>");
    assert_string_equal(outgoing(LETTER_SECUREJOIN, ONE, ONE, false, &far, 1), "250 ");
    assert_string_equal(outgoing(LETTER_SETUP, ONE, ONE, false, &self, 1), "250 ");
    assert_string_equal(outgoing(LETTER_SETUP, ONE, ONE, false, &two, 1), CLEAR);
    assert_string_equal(outgoing(LETTER_SETUP, ONE, ONE, false, &far, 1), CLEAR);
    assert_string_equal(outgoing(LETTER_SETUP, ONE, ONE, false, both, 2), CLEAR);
    both[1] = off;
    assert_string_equal(outgoing(LETTER_SETUP, ONE, ONE, false, both, 2), "250 ");
    assert_true(both[1].removed);
    assert_string_equal(outgoing(LETTER_PLAIN, ONE, ONE, false, &two, 1), CLEAR);
    assert_string_equal(outgoing(LETTER_MDN, ONE, ONE, false, &two, 1), CLEAR);
    assert_string_equal(outgoing(LETTER_FAKE_ENCRYPTED, ONE, ONE, false, &two, 1),
                        CLEAR);
    assert_string_equal(outgoing(LETTER_ENCRYPTED, ONE, ONE, true, &two, 1), "drop ");
    assert_string_equal(outgoing(LETTER_PLAIN, ONE, ONE, true, &two, 1), CLEAR);
    assert_string_equal(outgoing(LETTER_ENCRYPTED, ONE, ONE, false, &off, 1), "drop ");
    assert_true(off.removed);
}

static const char *incoming(enum letter letter, const char *from, const char *mail_from,
                            struct rcpt *rcpts, size_t n, bool *mismatch)
{
    static char said[600];
    struct decision d;
    read_letter(VERDICT_INCOMING, letter, from);
    if (decide_incoming_from(&v, mail_from, mismatch, &d)) {
        decide_incoming(&v, rcpts, n, &d);
    }
    snprintf(said, sizeof(said), "%s %s",
             d.action == DECIDE_ACCEPT ? "250"
             : d.action == DECIDE_DROP ? "drop"
                                       : d.code,
             d.text);
    return said;
}

/* Rows 10 to 12, 19 and 20. */
static void incoming_mail_is_decided(void **state)
{
    (void)state;
    bool other;
    struct rcpt strict = to("a@example.org", false, true);
    struct rcpt lax = to("b@example.org", false, false);
    struct rcpt off = to("c@example.org", true, true), nobody = to("", false, false);
    struct rcpt two[] = {lax, strict};
    assert_string_equal(
        incoming(LETTER_ENCRYPTED, "x@y.z", "X@y.z", &strict, 1, &other), "250 ");
    assert_false(other);
    assert_string_equal(
        incoming(LETTER_ENCRYPTED, "x@y.z", "b@y.z", &strict, 1, &other), "250 ");
    assert_true(other);
    assert_string_equal(incoming(LETTER_PLAIN, "x@y.z", "x@y.z", &strict, 1, &other),
                        CLEAR);
    assert_string_equal(incoming(LETTER_PLAIN, "x@y.z", "x@y.z", two, 2, &other),
                        CLEAR);
    assert_string_equal(incoming(LETTER_PLAIN, "x@y.z", "x@y.z", &nobody, 1, &other),
                        CLEAR);
    assert_string_equal(incoming(LETTER_PLAIN, "x@y.z", "x@y.z", &lax, 1, &other),
                        "250 ");
    assert_string_equal(incoming(LETTER_SETUP, "x@y.z", "x@y.z", &strict, 1, &other),
                        CLEAR);
    two[1] = off;
    assert_string_equal(incoming(LETTER_PLAIN, "x@y.z", "x@y.z", two, 2, &other),
                        "250 ");
    assert_true(two[1].removed);
    assert_string_equal(incoming(LETTER_PLAIN, "x@y.z", "x@y.z", &off, 1, &other),
                        "drop ");
    assert_string_equal(incoming(LETTER_MAILER_DAEMON, "x@y.z", "", &strict, 1, &other),
                        "250 ");
    assert_true(other);
    assert_string_equal(incoming(LETTER_SECUREJOIN, "x@y.z", "", &strict, 1, &other),
                        "250 ");
    assert_false(decide_origin_is_literal(&v));
    assert_string_equal(
        incoming(LETTER_ENCRYPTED, "one@[192.0.2.0]", "", &strict, 1, &other), "250 ");
    assert_true(decide_origin_is_literal(&v));
    incoming(LETTER_ENCRYPTED, "<one@[IPv6:2001:db8::1]>", "", &strict, 1, &other);
    assert_true(decide_origin_is_literal(&v));
    incoming(LETTER_ENCRYPTED, "one@[example.org]", "", &strict, 1, &other);
    assert_false(decide_origin_is_literal(&v));
    assert_string_equal(incoming(LETTER_ENCRYPTED, "<nobody>", "", &strict, 1, &other),
                        "553 Invalid email address: nobody");
    assert_string_equal(incoming(LETTER_ENCRYPTED, "nobody", "", &strict, 1, &other),
                        "500 Invalid FROM header: no address");
}

static void replies_cannot_carry_anything_odd(void **state)
{
    (void)state;
    struct decision d;
    decide_refuse(&d, WHY_RATE, "450", "a%%b\r\n250 ok \xc3\xbc %s", "%n");
    assert_string_equal(d.text, "a?b??250 ok ?? ?n");
    char big[2000];
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    decide_refuse(&d, WHY_RATE, "450", "%s", big);
    assert_int_equal(strlen(d.text), DECIDE_REPLY_MAX - 1);
}

static void every_reason_has_a_name(void **state)
{
    (void)state;
    for (int why = 0; why < WHYS; why++) {
        assert_non_null(decide_why_name((enum decide_why)why));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outgoing_mail_is_decided),
        cmocka_unit_test(incoming_mail_is_decided),
        cmocka_unit_test(replies_cannot_carry_anything_odd),
        cmocka_unit_test(every_reason_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
