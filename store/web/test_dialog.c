#include "dialog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

static void fill(struct envelope *e, const char *from, const char *const *to)
{
    struct cm_err err;
    envelope_init(e);
    if (from != NULL) {
        assert_int_equal(envelope_from(e, from, &err), 0);
    }
    for (; *to != NULL; to++) {
        assert_int_equal(envelope_to(e, *to, &err), 0);
    }
}

/* Postfix says this; then exactly that must stand in out. */
static void turn(struct dialog *d, const char *heard, const char *said)
{
    dialog_heard(d, heard, strlen(heard));
    assert_string_equal(d->out.data, said);
    cm_buf_reset(&d->out);
}

static void until_body(struct dialog *d, struct envelope *e, int64_t size)
{
    static const char *const to[] = {"Bob@Chat.Example", "<c+d@[192.0.2.1]>", NULL};
    fill(e, "Alice=x@b.example", to);
    dialog_init(d, e, size);
    turn(d, "220-hello\r\n220 go\r\n", "EHLO localhost\r\n");
    turn(d, "250-x\r\n250-SIZE 31457280\r\n250-8BITMIME\r\n250 CHUNKING\r\n",
         size < 0 ? "MAIL FROM:<alice=x@b.example> BODY=8BITMIME\r\n"
                  : "MAIL FROM:<alice=x@b.example> BODY=8BITMIME SIZE=77\r\n");
    turn(d, "250 2.1.0 Ok\r\n", "RCPT TO:<bob@chat.example>\r\n");
    turn(d, "250 2.1.5 Ok\r\n", "RCPT TO:<c+d@[192.0.2.1]>\r\n");
    turn(d, "250 2.1.5 Ok\r\n", "DATA\r\n");
    turn(d, "354 End\r\n", "");
    assert_int_equal(d->state, DIALOG_BODY);
}

static void done(struct dialog *d, struct envelope *e)
{
    dialog_clear(d);
    envelope_clear(e);
}

static void test_accepted(void **state)
{
    (void)state;
    struct dialog d;
    struct envelope e;
    for (int i = 0; i < 2; i++) {
        until_body(&d, &e, i == 0 ? 77 : -1);
        dialog_body(&d, "A: b\r", 5);
        dialog_body(&d, "\n\r\n..x\r\n", 8);
        dialog_end(&d);
        assert_string_equal(d.out.data, "A: b\r\n\r\n..x\r\n.\r\n");
        cm_buf_reset(&d.out);
        turn(&d, "250 2.0.0 Ok: queued as 4ABC\r\n", "QUIT\r\n");
        assert_int_equal(d.state, DIALOG_OVER);
        assert_true(d.accepted);
        assert_string_equal(d.verdict, "250 OK");
        done(&d, &e);
    }
}

static void test_null_sender(void **state)
{
    (void)state;
    static const char *const to[] = {"a@b.example", NULL};
    static const char *const from[] = {NULL, "", "<>"};
    for (size_t i = 0; i < 3; i++) {
        struct dialog d;
        struct envelope e;
        fill(&e, from[i], to);
        dialog_init(&d, &e, 5);
        turn(&d, "220 go\r\n", "EHLO localhost\r\n");
        turn(&d, "250 old\r\n", "MAIL FROM:<>\r\n");
        done(&d, &e);
    }
}

/* Refused at each step, for good or for now. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *heard; /* one piece */
        const char *verdict;
        bool rude;
    } cases[] = {
        {"554 no\r\n", "451 4.3.0 Mail system: not ready", true},
        {"220 x\r\n502 what\r\n", "451 4.3.0 Mail system: not ready", true},
        {"220 x\r\n250 x\r\n452 4.3.1 full\r\n", "452 4.3.1 full", false},
        {"220 x\r\n250 x\r\n250 x\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n",
         "550-5.1.1 no\r\n550 5.1.1 such user", false},
        {"220 x\r\n250 x\r\n250 x\r\n250 x\r\n450 later\r\n", "450 later", false},
        {"220 x\r\n250 x\r\n250 x\r\n250 x\r\n250 x\r\n421 stop\r\n", "421 stop",
         false},
        {"220 x\r\n250 x\r\n250 x\r\n250 x\r\n250 x\r\n250 what\r\n",
         "451 4.3.0 Mail system: an answer that is none", true},
        {"220 x\r\n250 x\r\n250 x\r\n250 x\r\n250 x\r\n354 x\r\n421 stop\r\n",
         "421 stop", true},
        {"HTTP/1.1 400\r\n", "451 4.3.0 Mail system: an answer that is none", true},
        {"220 x\n", "451 4.3.0 Mail system: an answer that is none", true},
        {"22\r\n", "451 4.3.0 Mail system: an answer that is none", true},
    };
    static const char *const to[] = {"a@b.example", "c@d.example", NULL};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dialog d;
        struct envelope e;
        fill(&e, "x@y.example", to);
        dialog_init(&d, &e, -1);
        for (const char *p = cases[i].heard; *p != '\0'; p++) {
            dialog_heard(&d, p, 1);
        }
        assert_int_equal(d.state, DIALOG_OVER);
        assert_false(d.accepted);
        assert_string_equal(d.verdict, cases[i].verdict);
        assert_int_equal(d.rude, cases[i].rude);
        if (cases[i].rude) {
            assert_int_equal(d.out.len, 0);
        } else {
            assert_string_equal(d.out.data + d.out.len - 8, "\r\nQUIT\r\n");
        }
        done(&d, &e);
    }
}

static void test_refused_at_the_end(void **state)
{
    (void)state;
    struct dialog d;
    struct envelope e;
    until_body(&d, &e, -1);
    dialog_body(&d, "A: b\r\n", 6);
    dialog_end(&d);
    cm_buf_reset(&d.out);
    turn(&d, "523 Encryption Needed: Invalid Unencrypted Mail\r\n", "QUIT\r\n");
    assert_false(d.accepted);
    assert_string_equal(d.verdict, "523 Encryption Needed: Invalid Unencrypted Mail");
    done(&d, &e);
}

/* Nothing that could end the message early is passed on. */
static void test_smuggling(void **state)
{
    (void)state;
    static const char *const bodies[][4] = {
        {"A: b\r\n\r\n.\r\nMAIL FROM:<x@y>\r\n", NULL},
        {"A: b\r\n\r\n", ".", "\r\nMAIL FROM:<x@y>\r\n", NULL},
        {"A: b\r\n\r\n.\r", "\nMAIL FROM:<x@y>\r\n", NULL},
        {"A: b\r\n\r\n", ".\r", "x", NULL},
        {"A: b\n.\r\n", NULL},
        {"A: b\r\n.\nMAIL FROM:<x@y>\r\n", NULL},
        {"A: b\r", ".\r\n", NULL},
        {".\r\n", NULL},
        {"A: b", NULL},
        {"A: b\r\n.", NULL},
        {"A: b\r", NULL},
        {NULL},
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct dialog d;
        struct envelope e;
        struct cm_buf sent;
        until_body(&d, &e, -1);
        cm_buf_init(&sent, 4096);
        cm_buf_str(&sent, "\r\n"); /* behind DATA */
        for (size_t n = 0; n < 4 && bodies[i][n] != NULL && d.state == DIALOG_BODY;
             n++) {
            dialog_body(&d, bodies[i][n], strlen(bodies[i][n]));
            cm_buf_add(&sent, d.out.data, d.out.len); /* Postfix is quick */
            cm_buf_reset(&d.out);
        }
        if (d.state == DIALOG_BODY) {
            dialog_end(&d);
        }
        assert_int_equal(d.state, DIALOG_OVER);
        assert_true(d.rude);
        assert_int_equal(d.out.len, 0);
        assert_string_equal(d.verdict, "500 Invalid DATA");
        assert_null(strstr(sent.data, "\n.\r\n"));
        assert_null(strstr(sent.data, "\n.\n"));
        assert_null(strstr(sent.data, "MAIL"));
        cm_buf_clear(&sent);
        done(&d, &e);
    }
}

static void test_endless_reply(void **state)
{
    (void)state;
    static const char *const to[] = {"a@b.example", NULL};
    struct dialog d;
    struct envelope e;
    fill(&e, NULL, to);
    dialog_init(&d, &e, -1);
    for (int i = 0; i < 1000; i++) {
        dialog_heard(&d, "220-more\r\n", 10);
    }
    assert_int_equal(d.state, DIALOG_OVER);
    assert_true(d.reply.cap <= DIALOG_REPLY_MAX + 64);
    done(&d, &e);
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *value, *want; /* NULL: refused */
    } cases[] = {
        {"User@Domain.Example", "user@domain.example"},
        {"<user+tag@domain.example>", "user+tag@domain.example"},
        {"srs0=ab=cd=x.example=u@y.example", "srs0=ab=cd=x.example=u@y.example"},
        {"t@[192.0.2.0]", "t@[192.0.2.0]"},
        {"t@[IPv6:2001:DB8::1]", "t@[ipv6:2001:db8::1]"},
        {"u@_chat.example", "u@_chat.example"},
        {"u@localhost", "u@localhost"},
        {"", NULL},
        {"<>", NULL},
        {"user", NULL},
        {"@domain.example", NULL},
        {"user@", NULL},
        {"a@b@c.example", NULL},
        {"a b@c.example", NULL},
        {"a@c.example> RCPT TO:<x@y", NULL},
        {"<a@c.example", NULL},
        {"a@c.example SIZE=1", NULL},
        {"a@c..example", NULL},
        {"a@.example", NULL},
        {"a@c.example.", NULL},
        {"a@-c.example", NULL},
        {"a@[192.0.2.0", NULL},
        {"a@[x.example]", NULL},
        {"a@[]", NULL},
        {"\"a b\"@c.example", NULL},
        {"a,b@c.example", NULL},
        {"@x.example:a@c.example", NULL},
        {"\xc3\xbc@c.example", NULL},
        {"a\t@c.example", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct envelope e;
        struct cm_err err;
        envelope_init(&e);
        int rc = envelope_to(&e, cases[i].value, &err);
        if (rc != (cases[i].want != NULL ? 0 : -1)) {
            fail_msg("%s", cases[i].value);
        }
        if (rc == 0) {
            assert_string_equal(e.to[0], cases[i].want);
        } else {
            assert_int_equal(e.count, 0);
            assert_memory_equal(err.text, "553 Invalid email address: ", 27);
        }
        envelope_clear(&e);
    }
}

static void test_address_limits(void **state)
{
    (void)state;
    struct envelope e;
    struct cm_err err;
    char address[400];
    envelope_init(&e);
    memset(address, 'a', sizeof(address));
    strcpy(address + ENVELOPE_ADDRESS_MAX - 10, "@b.example");
    assert_int_equal(strlen(address), ENVELOPE_ADDRESS_MAX);
    assert_int_equal(envelope_to(&e, address, &err), 0);
    memmove(address + 1, address, sizeof(address) - 1);
    assert_int_equal(envelope_to(&e, address, &err), -1);
    assert_int_equal(envelope_from(&e, "", &err), 0);
    assert_int_equal(envelope_from(&e, "a@b", &err), -1); /* a second sender */
    for (int i = 1; i < ENVELOPE_RECIPIENTS_MAX; i++) {
        assert_int_equal(envelope_to(&e, "a@b.example", &err), 0);
    }
    assert_int_equal(envelope_to(&e, "a@b.example", &err), -1);
    assert_memory_equal(err.text, "452 ", 4);
    envelope_clear(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),  cmocka_unit_test(test_null_sender),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_refused_at_the_end),
        cmocka_unit_test(test_smuggling), cmocka_unit_test(test_endless_reply),
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_address_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
