/* What the storm throws, and who judges it: the witness knows every letter, and in
 * thousands of mutants it lets pass whatever the filter does, and none with the mark.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "filtercore/judge.h"
#include "letters/letters.h"
#include "mutate.h"
#include "witness.h"

#define FROM    "one@example.org"
#define TO      "two@example.net"
#define MUTANTS 60000

static struct verdict verdict;

static void witness_knows_the_letters(void **state)
{
    (void)state;
    for (int i = 0; i < LETTERS; i++) {
        const char *why;
        char *text = letter_text((enum letter)i, FROM, TO, "x@y");
        for (int in = 0; in < 2; in++) {
            assert_int_equal(witness_encrypted(text, in, &why), i == LETTER_ENCRYPTED);
            assert_int_equal(witness_excepted(text, in),
                             i == LETTER_SECUREJOIN ||
                                 (in && i == LETTER_MAILER_DAEMON));
        }
        free(text);
    }
}

static void witness_reads_all_packets(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 100, 700, 5000, 70000};
    const char *why;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int partial = 0; partial < 2; partial++) {
            size_t len;
            unsigned char *packets = letter_packets(sizes[i], partial, &len);
            char *armour = letter_armour(packets, len, partial ? NULL : "=abcd");
            char *text = letter_around(FROM, TO, "x@y", armour);
            assert_true(witness_encrypted(text, false, &why));
            free(text);
            free(armour);
            packets[0] = 0xcb; /* a literal packet */
            armour = letter_armour(packets, len, NULL);
            text = letter_around(FROM, TO, "x@y", armour);
            assert_false(witness_encrypted(text, false, &why));
            free(text);
            free(armour);
            free(packets);
        }
    }
}

static void judge_one(unsigned number, const char *text, enum verdict_side side,
                      unsigned *passed)
{
    bool in = side == VERDICT_INCOMING;
    const char *why = "";
    judge_message(&verdict, side, text, strlen(text), 4096);
    enum verdict_kind kind = verdict_kind(&verdict);
    bool passes = kind == VERDICT_ENCRYPTED || kind == VERDICT_SECUREJOIN ||
                  (in && kind == VERDICT_REPORT);
    if (passes && !witness_encrypted(text, in, &why) && !witness_excepted(text, in)) {
        fail_msg("mutant %u passes, though %s:\n%s", number, why, text);
    }
    *passed += passes;
}

static void witness_agrees_about_mutants(void **state)
{
    (void)state;
    unsigned passed = 0, marked = 0;
    for (unsigned i = 0; i < MUTANTS; i++) {
        struct mutate m = mutate_of(7, i);
        enum letter letter =
            (enum letter)(i % 2 == 0 ? LETTER_ENCRYPTED : i / 2 % LETTERS);
        char *base = letter_text(letter, FROM, TO, "x@y");
        bool mark = letter != LETTER_MAILER_DAEMON && i % 3 == 0;
        char *mutant = mutate_letter(&m, base, mark);
        char *text = mutate_received(mutant);
        unsigned before = passed;
        judge_one(i, text, i % 4 < 2 ? VERDICT_OUTGOING : VERDICT_INCOMING, &passed);
        if (passed > before && strstr(text, MUTANT_MARK) != NULL) {
            fail_msg("mutant %u passes with the mark:\n%s", i, text);
        }
        marked += strstr(text, MUTANT_MARK) != NULL;
        free(text);
        free(mutant);
        free(base);
    }
    print_message("%u of %u passed, %u were marked\n", passed, MUTANTS, marked);
    assert_in_range(passed, MUTANTS / 100, MUTANTS / 2);
    assert_in_range(marked, MUTANTS / 10, MUTANTS);
}

static void mutants_can_be_made_again(void **state)
{
    (void)state;
    char *base = letter_text(LETTER_ENCRYPTED, FROM, TO, "x@y");
    unsigned same = 0;
    for (unsigned i = 0; i < 100; i++) {
        struct mutate one = mutate_of(3, i), two = mutate_of(3, i),
                      other = mutate_of(4, i);
        char *a = mutate_letter(&one, base, i % 2 == 0);
        char *b = mutate_letter(&two, base, i % 2 == 0);
        char *c = mutate_letter(&other, base, i % 2 == 0);
        assert_string_equal(a, b);
        same += strcmp(a, c) == 0;
        free(a);
        free(b);
        free(c);
    }
    assert_true(same < 5);
    free(base);
}

static void dots_are_stuffed(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "\r\n"},
        {"a", "a\r\n"},
        {"a\r\n", "a\r\n"},
        {".\r\n", "..\r\n"},
        {"a\n.\nb", "a\n..\nb\r\n"},
        {"a\r\n..b\r\n", "a\r\n...b\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *text = mutate_stuffed(rows[i][0]);
        assert_string_equal(text, rows[i][1]);
        free(text);
    }
}

static void line_ends_become_one(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"a", "a\r\n"},
        {"a\nb\r\n", "a\r\nb\r\n"},
        {"\r\r\n", " \r\n"},
        {"a\rb\n", "a b\r\n"},
        {"\n\r\n", "\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *text = mutate_received(rows[i][0]);
        assert_string_equal(text, rows[i][1]);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(witness_knows_the_letters),
        cmocka_unit_test(witness_reads_all_packets),
        cmocka_unit_test(witness_agrees_about_mutants),
        cmocka_unit_test(mutants_can_be_made_again),
        cmocka_unit_test(dots_are_stuffed),
        cmocka_unit_test(line_ends_become_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
