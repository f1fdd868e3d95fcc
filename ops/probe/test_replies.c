#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "imap.h"
#include "mail.h"
#include "smtp.h"

static void smtp_reply_of_many_lines(void **state)
{
    (void)state;
    struct smtp_reply reply = {0};
    assert_int_equal(smtp_reply_line(&reply, "250-_chat.example"), 0);
    assert_int_equal(smtp_reply_line(&reply, "250-STARTTLS"), 0);
    assert_int_equal(reply.code, 0);
    assert_int_equal(smtp_reply_line(&reply, "250 8BITMIME"), 1);
    assert_int_equal(reply.code, 250);
    assert_string_equal(reply.text, "_chat.example STARTTLS 8BITMIME");
}

static void smtp_reply_without_text(void **state)
{
    (void)state;
    struct smtp_reply reply = {0};
    assert_int_equal(smtp_reply_line(&reply, "354"), 1);
    assert_int_equal(reply.code, 354);
}

static void smtp_nonsense_is_refused(void **state)
{
    (void)state;
    struct smtp_reply reply = {0};
    assert_int_equal(smtp_reply_line(&reply, ""), -1);
    assert_int_equal(smtp_reply_line(&reply, "25"), -1);
    assert_int_equal(smtp_reply_line(&reply, "* OK hello"), -1);
    assert_int_equal(smtp_reply_line(&reply, "250:x"), -1);
}

static void smtp_long_reply_is_cut(void **state)
{
    (void)state;
    struct smtp_reply reply = {0};
    char line[900];
    memset(line, 'x', sizeof line);
    memcpy(line, "250-", 4);
    line[sizeof line - 1] = '\0';
    for (int i = 0; i < 5; i++) {
        assert_int_equal(smtp_reply_line(&reply, line), 0);
    }
    assert_int_equal(strlen(reply.text), sizeof reply.text - 1);
}

static void imap_answers_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(imap_judge("OK [CAPABILITY IMAP4rev1] Logged in"), IMAP_IN);
    assert_int_equal(imap_judge("NO [AUTHENTICATIONFAILED] Authentication failed."),
                     IMAP_REFUSED);
    assert_int_equal(imap_judge("NO [AUTHORIZATIONFAILED] x"), IMAP_REFUSED);
    assert_int_equal(imap_judge("NO [UNAVAILABLE] Temporary authentication failure."),
                     IMAP_TEMPORARY);
    assert_int_equal(imap_judge("BAD Error in IMAP command"), IMAP_OTHER);
    assert_int_equal(imap_judge(""), IMAP_OTHER);
}

static void message_has_its_id_and_crlf_lines(void **state)
{
    (void)state;
    char *text = mail_text("a@_x.example", "b@_y.example", "n-1@probe");
    assert_non_null(strstr(text, "\r\nMessage-ID: <n-1@probe>\r\n"));
    assert_null(strstr(text, "\r\n."));
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        assert_int_equal(at[-1], '\r');
    }
    free(text);
}

static void random_names_fit_and_differ(void **state)
{
    (void)state;
    char a[10];
    char b[10];
    mail_random(a, sizeof a);
    mail_random(b, sizeof b);
    assert_int_equal(strlen(a), 9);
    assert_true(a[0] >= 'a' && a[0] <= 'z');
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smtp_reply_of_many_lines),
        cmocka_unit_test(smtp_reply_without_text),
        cmocka_unit_test(smtp_nonsense_is_refused),
        cmocka_unit_test(smtp_long_reply_is_cut),
        cmocka_unit_test(imap_answers_are_told_apart),
        cmocka_unit_test(message_has_its_id_and_crlf_lines),
        cmocka_unit_test(random_names_fit_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
