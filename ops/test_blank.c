#include "blank.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

/* Each word of eight digits becomes "#". */
static void hide_words(char *text)
{
    for (char *p = strchr(text, '['); p != NULL; p = strchr(p + 1, '[')) {
        char *blank = strchr(p, ' '), *end = strchr(p, ']');
        if (blank != NULL && end == blank + 9) {
            blank[1] = '#';
            memmove(blank + 2, end, strlen(end) + 1);
        }
    }
}

static void test_lines(void **state)
{
    static const struct {
        const char *line, *want;
    } cases[] = {
        {"imap-login: Login: user=<ab3@chat.example.org>, method=PLAIN, "
         "rip=198.51.100.7, lip=203.0.113.11, mpid=1234, TLS, "
         "session=<mJ8z1aBcDeFgHiJkLmNo>",
         "imap-login: Login: user=<[user #]@chat.example.org>, method=PLAIN, "
         "rip=[ip #], lip=203.0.113.11, mpid=1234, TLS, session=<[token #]>"},
        {"connect from dyn-7.isp.example[2001:db8::7]",
         "connect from [host #][[ip #]]"},
        {"header Received: from laptop (dyn-7.isp.example [198.51.100.7])??by x",
         "header Received: from [host #] ([host #] [[ip #]])??by x"},
        {"disconnect from unknown[198.51.100.7]:4711 ehlo=1",
         "disconnect from unknown[[ip #]]:4711 ehlo=1"},
        {"3C1A2B4D5E: from=<x.y@elsewhere.example>, size=1234, nrcpt=1",
         "3C1A2B4D5E: from=<[user #]>, size=1234, nrcpt=1"},
        {"3C1A2B4D5E: to=<a@chat.example.org>, "
         "relay=mx.elsewhere.example[192.0.2.5]:25, "
         "status=sent (250 2.0.0 Ok)",
         "3C1A2B4D5E: to=<[user #]@chat.example.org>, relay=[host #][[ip #]]:25, "
         "status=sent (250 2.0.0 Ok)"},
        {"TLS connection: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
         "TLS connection: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"},
        {"auth: password mismatch, user=<admin>, helo=laptop-of-anna, proto=ESMTP",
         "auth: password mismatch, user=<[name #]>, helo=[name #], proto=ESMTP"},
        {"event=login gateway=edge1 ms=12 address=127.0.0.1:993 tunnel=10.77.1.1",
         "event=login gateway=edge1 ms=12 address=127.0.0.1:993 tunnel=10.77.1.1"},
        {"from ::ffff:198.51.100.7: too many. From 198.51.100.7.",
         "from [ip #]: too many. From [ip #]."},
        {"mailto:someone@elsewhere.example and fcm:dK3abcDEF0123456789xyzQ",
         "mailto:[user #] and fcm:[token #]"},
        {"to=<a@127.elsewhere.example>, relay=10.77.name.example",
         "to=<[user #]>, relay=10.77.name.example"},
        {"user=<b@10.77.c\xe8\xe8>", "user=<[user #]>"},
        {"a\x1b[31mred\tgr\xc3\xbc\xc3\x9f", "a?[31mred?gr????"},
        {"postfix@-.service: Succeeded by root@store",
         "postfix@-.service: Succeeded by [user #]"},
        {"", ""},
        {"@ : . [ ]", "@ : . [ ]"},
    };
    struct op_blank b;

    (void)state;
    op_blank_init(&b);
    op_blank_keep(&b, "chat.example.org");
    op_blank_keep(&b, "203.0.113.11");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *said = op_blank(&b, cases[i].line);
        hide_words(said);
        assert_string_equal(said, cases[i].want);
        free(said);
    }
}

/* The same thing has the same word, and another key another. */
static void test_words(void **state)
{
    struct op_blank a, b;

    (void)state;
    op_blank_init(&a);
    op_blank_init(&b);
    char *one = op_blank(&a, "198.51.100.7"), *two = op_blank(&a, "198.51.100.7");
    char *other = op_blank(&b, "198.51.100.7"), *next = op_blank(&a, "198.51.100.8");
    assert_string_equal(one, two);
    assert_string_not_equal(one, other);
    assert_string_not_equal(one, next);
    free(one);
    free(two);
    free(other);
    free(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
