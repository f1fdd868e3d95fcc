/* The real program, all modes, spoken to as Postfix does, over a real PostgreSQL, a
 * real Redis, and a DNS server with moods. Numbers in comments are rows of
 * relay-spec.md 6.8. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"

#include "testing/checker.h"
#include "testing/e2e.h"
#include "testing/mta.h"

static void outgoing_mail(void **state)
{
    (void)state;
    e2e_expect_out(LETTER_ENCRYPTED, ONE, ONE, TWO, "accept", DOTS); /* 5 */
    e2e_expect_out(LETTER_ENCRYPTED, ONE, ONE, FAR, "accept", DOTS);
    e2e_expect_out(LETTER_ENCRYPTED, ONE, "evil@chat.example.org", TWO, /* 6 */
                   "500 Invalid FROM <evil@chat.example.org> for <" ONE ">", "");
    e2e_expect_out(LETTER_SETUP, ONE, ONE, ONE, "accept", DOTS); /* 7 */
    e2e_expect_out(LETTER_SETUP, ONE, ONE, TWO, CLEAR, "");
    e2e_expect_out(LETTER_PLAIN, ONE, ONE, TWO, CLEAR, ""); /* 8 */
    e2e_expect_out(LETTER_MDN, ONE, ONE, TWO, CLEAR, "");   /* 9 */
    e2e_expect_out(LETTER_FAKE_ENCRYPTED, ONE, ONE, TWO, CLEAR, "");
    e2e_expect_out(LETTER_LITERAL, ONE, ONE, TWO, CLEAR, "");
    e2e_expect_out(LETTER_SECUREJOIN, ONE, ONE, FAR, "accept", DOTS);
    e2e_expect_out(LETTER_SECUREJOIN_FAKE, ONE, ONE, FAR, CLEAR, "");
    e2e_expect_out(LETTER_ENCRYPTED, OFF, OFF, TWO, "discard", "");
    e2e_expect_out(LETTER_ENCRYPTED, ONE, ONE, OFF, "discard", ""); /* 20 */
    e2e_expect_out(LETTER_ENCRYPTED, ONE, ONE, "OFF+x@Chat.Example.org", "discard", "");
    e2e_expect_out(LETTER_ENCRYPTED, "", ONE, TWO, "500 Invalid FROM <" ONE "> for <>",
                   "");
    assert_true(daemonkit_log_has(e2e.out.log, "Outgoing: Filtering encrypted mail."));
}

static void what_counters_match_is_logged_and_nobody_named(void **state)
{
    (void)state;
    daemonkit_log_has(e2e.out.log, "");
    e2e_expect_out(LETTER_PLAIN, ONE, ONE, TWO, CLEAR, NULL);
    assert_true(
        daemonkit_log_has(e2e.out.log, "Outgoing: Filtering unencrypted mail."));
    e2e_expect_out(LETTER_PLAIN, ONE, ONE, TWO, CLEAR, NULL);
    assert_true(daemonkit_log_has(e2e.out.log, "Rejected unencrypted mail from: "));
    e2e_expect_out(LETTER_PLAIN, ONE, ONE, TWO, CLEAR, NULL);
    assert_false(daemonkit_log_has(e2e.out.log, "one@"));
}

static void the_login_owns_the_address(void **state)
{
    (void)state;
    struct mta m;
    mta_open(&m, e2e.out.path);
    mta_mail(&m, TWO, ONE);
    assert_string_equal(mta_rcpt(&m, TWO, NULL),
                        "553 5.7.1 <" TWO ">: Sender address rejected: not owned by "
                        "user " ONE);
    mta_close(&m);
    mta_open(&m, e2e.out.path);
    mta_mail(&m, ONE, NULL);
    assert_string_equal(mta_rcpt(&m, TWO, NULL),
                        "451 4.7.0 Nobody is logged in here; try again later");
    mta_abort(&m);
    mta_mail(&m, "no@domain@here", ONE);
    assert_memory_equal(mta_rcpt(&m, TWO, NULL), "500 Invalid from address <", 26);
    mta_abort(&m);
    mta_mail(&m, "One@CHAT.example.org", "ONE@chat.example.ORG");
    assert_string_equal(mta_rcpt(&m, TWO, NULL), "continue");
    mta_close(&m);
}

/* All that tells of the sender's program goes, wherever and however often it stands. */
static void the_header_is_cleaned(void **state)
{
    (void)state;
    char *good = letter_text(LETTER_ENCRYPTED, ONE, TWO, "x@y");
    char *text = cm_asprintf("Received: from a\r\nUser-Agent: x\r\nreceived: from b\r\n"
                             "Subject: one\r\nX-Mailer: y\r\nX-Originating-IP: z\r\n%s",
                             good);
    struct mta m;
    mta_open(&m, e2e.out.path);
    assert_string_equal(mta_send(&m, ONE, ONE, TWO, text), "accept");
    assert_string_equal(m.changes, "header Received 2 -\nheader Received 1 -\n"
                                   "header X-Originating-IP 1 -\nheader X-Mailer 1 -\n"
                                   "header User-Agent 1 -\nheader Subject 2 -\n" DOTS);
    mta_close(&m);
    free(text);
    free(good);
}

/* What leaves: `text` as the filter wants it changed, its signature in front. Whether
 * that signature is good for it. */
static bool verifies(const struct mta *m, const struct sg_key *by, const char *text)
{
    struct ck_zone zone = {0};
    char *known = sg_key_record(by), *field = cm_strdup("DKIM-Signature:");
    const char *why;
    for (const char *p = m->inserted; *p != '\0'; p++) {
        char *more = cm_asprintf(*p == '\n' ? "%s\r\n" : "%s%c", field, *p);
        free(field);
        field = more;
    }
    char *leaves = cm_asprintf("%s\r\n%s", field, text);
    ck_set(&zone, "opendkim._domainkey.chat.example.org", known, 1);
    struct dkim_keys *keys = ck_keys(&zone);
    enum dkim_verdict verdict =
        ck_verify(leaves, strlen(leaves), "chat.example.org", keys, 0, &why);
    dkim_keys_free(&keys);
    free(leaves);
    free(field);
    free(known);
    return verdict == DKIM_PASS;
}

static void what_leaves_is_signed_as_it_leaves(void **state)
{
    (void)state;
    char *good = letter_text(LETTER_ENCRYPTED, ONE, FAR, "x@y");
    char *text =
        cm_asprintf("User-Agent: x\r\nSubject: a secret\r\n\tfolded\r\n%s", good);
    char *leaves = cm_asprintf("Subject: [...]\r\n%s", strstr(good, "From:"));
    char *subject = strstr(leaves + 10, "Subject: "); /* the second one goes */
    struct mta m;
    assert_non_null(subject);
    char *behind = strstr(subject, "\r\n") + 2;
    memmove(subject, behind, strlen(behind) + 1);
    mta_open(&m, e2e.out.path);
    assert_string_equal(mta_send(&m, ONE, ONE, FAR, text), "accept");
    assert_true(verifies(&m, e2e.our_key, leaves));
    assert_false(verifies(&m, e2e.our_key, text));
    assert_string_equal(mta_send(&m, ONE, ONE, ONE, good), "accept");
    assert_true(verifies(&m, e2e.our_key, good));
    mta_close(&m);
    assert_true(daemonkit_log_has(
        e2e.out.log, "DKIM-Signature field added (s=opendkim, d=chat.example.org)"));
    char *big = letter_of_size(ONE, FAR, "x@y", 2000000);
    mta_open(&m, e2e.out.path);
    assert_string_equal(mta_send(&m, ONE, ONE, FAR, big), "accept");
    assert_true(verifies(&m, e2e.our_key, big));
    mta_close(&m);
    free(big);
    free(leaves);
    free(text);
    free(good);
}

/* No login, no rate, no verdict: only a signature, and only for our domain. */
static void what_is_made_here_is_only_signed(void **state)
{
    (void)state;
    static const char bounce[] =
        "From: MAILER-DAEMON@chat.example.org (Mail Delivery System)\r\nTo: " ONE
        "\r\nSubject: Undelivered Mail\r\nUser-Agent: x\r\n\r\nSorry.\r\n";
    static const char other[] = "From: root@other.example\r\nTo: " ONE "\r\n\r\nHi\r\n";
    struct mta m;
    mta_open(&m, e2e.sign.path);
    assert_string_equal(mta_send(&m, "", NULL, ONE, bounce), "accept");
    assert_string_equal(m.changes, SIGNED);
    assert_true(verifies(&m, e2e.our_key, bounce));
    assert_string_equal(mta_send(&m, "root@other.example", NULL, ONE, other), "accept");
    assert_string_equal(m.changes, "");
    mta_close(&m);
    /* The socket of users never signs for who is not logged in. */
    mta_open(&m, e2e.out.path);
    assert_string_equal(mta_send(&m, "", NULL, ONE, bounce),
                        "451 4.7.0 Nobody is logged in here; try again later");
    mta_close(&m);
}

#define NOT_SIGNED_NOW "451 4.7.5 Mail cannot be signed now; try again later"

static void nothing_leaves_unsigned(void **state)
{
    (void)state;
    static const char bounce[] =
        "From: MAILER-DAEMON@chat.example.org\r\n\r\nSorry.\r\n";
    struct side *const sides[] = {&e2e.out, &e2e.sign};
    struct sg_key *other = sg_key_rsa(2048);
    char *good = letter_text(LETTER_ENCRYPTED, ONE, FAR, "x@y");
    struct mta m;
    assert_int_equal(unlink(e2e.key_file), 0);
    for (int i = 0; i < 2; i++) {
        e2e_stop(sides[i]);
        daemonkit_log_has(sides[i]->log, "");
        e2e_start(sides[i]);
    }
    e2e_expect_out(LETTER_ENCRYPTED, ONE, ONE, FAR, NOT_SIGNED_NOW, "");
    assert_true(daemonkit_log_has(e2e.out.log, "event=signing_key_missing"));
    e2e_expect_out(LETTER_PLAIN, ONE, ONE, FAR, CLEAR, "");
    mta_open(&m, e2e.sign.path);
    assert_string_equal(mta_send(&m, "", NULL, ONE, bounce), NOT_SIGNED_NOW);
    /* It comes, and is taken at a reload; a broken one leaves it. */
    e2e_write_key(other);
    for (int i = 0; i < 2; i++) {
        kill(sides[i]->pid, SIGHUP);
        e2e_wait_for_log(sides[i], "event=reloaded");
    }
    assert_string_equal(mta_send(&m, "", NULL, ONE, bounce), "accept");
    assert_true(verifies(&m, other, bounce));
    mta_close(&m);
    mta_open(&m, e2e.out.path);
    assert_string_equal(mta_send(&m, ONE, ONE, FAR, good), "accept");
    assert_true(verifies(&m, other, good));
    struct cm_err err;
    assert_int_equal(cm_file_replace(e2e.key_file, "no key", 6, 0600, &err), 0);
    kill(e2e.out.pid, SIGHUP);
    e2e_wait_for_log(&e2e.out, "event=reload_failed");
    assert_string_equal(mta_send(&m, ONE, ONE, FAR, good), "accept");
    assert_true(verifies(&m, other, good));
    mta_close(&m);
    e2e_write_key(e2e.our_key);
    for (int i = 0; i < 2; i++) {
        kill(sides[i]->pid, SIGHUP);
        e2e_wait_for_log(sides[i], "event=reloaded");
    }
    sg_key_free(&other);
    free(good);
}

/* There is nothing to sign for, and no key is asked for. */
static void a_relay_without_a_name_signs_nothing(void **state)
{
    (void)state;
    static const char text[] = "From: MAILER-DAEMON@[203.0.113.1]\r\n\r\nSorry.\r\n";
    static const char address[] = "[params]\nmail_domain = 203.0.113.1\n";
    struct cm_err err;
    struct mta m;
    e2e_stop(&e2e.sign);
    daemonkit_log_has(e2e.sign.log, "");
    assert_int_equal(cm_file_replace(e2e.ini, address, strlen(address), 0644, &err), 0);
    assert_int_equal(unlink(e2e.key_file), 0);
    e2e_start(&e2e.sign);
    mta_open(&m, e2e.sign.path);
    assert_string_equal(mta_send(&m, "", NULL, "one@[203.0.113.1]", text), "accept");
    assert_string_equal(m.changes, "");
    mta_close(&m);
    assert_false(daemonkit_log_has(e2e.sign.log, "signing_key_missing"));
    e2e_stop(&e2e.sign);
    e2e_write_ini(
        "max_user_send_per_minute = 60000\nmax_user_send_burst_size = 10000\n");
    e2e_write_key(e2e.our_key);
    e2e_start(&e2e.sign);
}

static void many_messages_go_over_one_connection(void **state)
{
    (void)state;
    struct mta m;
    char *good = letter_text(LETTER_ENCRYPTED, ONE, TWO, "x@y");
    char *bad = letter_text(LETTER_FAKE_ENCRYPTED, ONE, TWO, "x@y");
    mta_open(&m, e2e.out.path);
    for (int i = 0; i < 20; i++) { /* 17, 18 */
        assert_string_equal(mta_send(&m, ONE, ONE, TWO, good), "accept");
        assert_string_equal(mta_send(&m, ONE, ONE, TWO, bad), CLEAR);
        mta_mail(&m, ONE, ONE);
        assert_string_equal(mta_rcpt(&m, TWO, NULL), "continue");
        mta_abort(&m);
    }
    mta_close(&m);
    free(good);
    free(bad);
}

static void a_disabled_recipient_among_others_is_left_out(void **state)
{
    (void)state;
    struct mta m;
    char *text = letter_text(LETTER_ENCRYPTED, ONE, TWO, "x@y");
    mta_open(&m, e2e.out.path);
    mta_mail(&m, ONE, ONE);
    assert_string_equal(mta_rcpt(&m, TWO, NULL), "continue");
    assert_string_equal(mta_rcpt(&m, "off", OFF), "continue");
    assert_string_equal(mta_rcpt(&m, FAR, NULL), "continue");
    assert_string_equal(mta_data(&m, text, strlen(text)), "accept");
    assert_string_equal(m.changes, "rcpt- <off>\n" DOTS);
    mta_close(&m);
    free(text);
}

/* Incoming */

#define NOT_SIGNED "554 5.7.1 No DKIM signature found"
#define NOT_VALID  "554 5.7.1 No valid DKIM signature found"
#define NO_KEY     "451 4.7.5 DKIM key cannot be looked up now; try again later"

static void incoming_mail(void **state)
{
    (void)state;
    e2e_expect_in(LETTER_ENCRYPTED, FAR, FAR, ONE, "accept", "");
    e2e_expect_in(LETTER_SECUREJOIN, FAR, FAR, ONE, "accept", "");
    e2e_expect_in(LETTER_PLAIN, FAR, FAR, ONE, CLEAR, ""); /* 10 */
    e2e_expect_in(LETTER_PLAIN, FAR, FAR, LAX, "accept", "");
    e2e_expect_in(LETTER_FAKE_ENCRYPTED, FAR, FAR, ONE, CLEAR, "");
    e2e_expect_in(LETTER_MAILER_DAEMON, "", FAR, ONE, "accept", ""); /* 11 */
    e2e_expect_in(LETTER_SETUP, FAR, FAR, ONE, CLEAR, "");
    e2e_expect_in(LETTER_ENCRYPTED, "b@example.com", FAR, ONE, "accept",
                  "from <>\n");                                    /* 19 */
    e2e_expect_in(LETTER_ENCRYPTED, FAR, FAR, OFF, "discard", ""); /* 20 */
    assert_true(daemonkit_log_has(e2e.in.log,
                                  "Incoming: Filtering mailer-daemon message "
                                  "from "));
}

/* 12: nobody can sign for an address. */
static void mail_from_literals_needs_no_signature(void **state)
{
    (void)state;
    static const char *const from[] = {"one@[192.0.2.0]", "<one@[IPv6:2001:db8::1]>"};
    for (size_t i = 0; i < 2; i++) {
        char *text = letter_text(LETTER_ENCRYPTED, from[i], ONE, "x@y");
        e2e_expect_in_text(text, "", ONE, "accept", "");
        free(text);
    }
    char *text = letter_text(LETTER_PLAIN, "one@[192.0.2.0]", ONE, "x@y");
    e2e_expect_in_text(text, "", ONE, CLEAR, "");
    free(text);
}

static void what_is_not_signed_is_refused(void **state)
{
    (void)state;
    char *text = letter_text(LETTER_ENCRYPTED, FAR, ONE, "x@y");
    e2e_expect_in_text(text, FAR, ONE, NOT_SIGNED, "");
    free(text);
    e2e_expect_in(LETTER_ENCRYPTED, "a@example.com", "a@example.com", ONE, NOT_VALID,
                  "");
    text = e2e_signed_letter(LETTER_ENCRYPTED, FAR, ONE);
    memcpy(strstr(text, "Subject: [...]"), "Subject: [,..]", 14);
    e2e_expect_in_text(text, FAR, ONE, NOT_VALID, "");
    free(text);
    text = e2e_signed_letter(LETTER_ENCRYPTED, FAR, ONE);
    char *evil = strstr(text, "From: " FAR);
    memcpy(evil, "From: bar@example.net", 21);
    e2e_expect_in_text(text, FAR, ONE, NOT_VALID, "");
    free(text);
}

static void dns_trouble_is_not_final(void **state)
{
    (void)state;
    struct ds_row row = {.name = "sel._domainkey.example.com", .mood = DS_SERVFAIL};
    ds_set(e2e.dns, &row);
    e2e_expect_in(LETTER_ENCRYPTED, "a@example.com", "a@example.com", ONE, NO_KEY, "");
    e2e_expect_in(LETTER_PLAIN, "a@example.com", "a@example.com", ONE, CLEAR, "");
    row.mood = DS_SERVFAIL_ONCE;
    row.txt[0] = e2e.record;
    row.ttl = 0;
    ds_set(e2e.dns, &row);
    e2e_expect_in(LETTER_ENCRYPTED, "a@example.com", "a@example.com", ONE, "accept",
                  "");
    row.mood = DS_NXDOMAIN;
    ds_set(e2e.dns, &row);
    e2e_expect_in(LETTER_ENCRYPTED, "a@example.com", "a@example.com", ONE, NOT_VALID,
                  "");
}

static void unknown_recipients_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *to, *resolved, *answer;
    } rows[] = {
        {"nobody@chat.example.org", NULL, UNKNOWN},
        {ONE, NULL, "continue"},
        {"One+tag@Chat.Example.ORG", NULL, "continue"},
        {"one", ONE, "continue"},
        {"one%chat.example.org@chat.example.org", ONE, "continue"},
        {"nobody", "nobody@chat.example.org", UNKNOWN},
        {"one@[203.0.113.1]", NULL, UNKNOWN},
        {"{\\\"}@chat.example.org", NULL, UNKNOWN},
        {"+@chat.example.org", NULL, UNKNOWN},
    };
    struct mta m;
    mta_open(&m, e2e.in.path);
    mta_mail(&m, FAR, NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(mta_rcpt(&m, rows[i].to, rows[i].resolved), rows[i].answer) != 0) {
            fail_msg("%s: %s", rows[i].to, m.answer);
        }
    }
    mta_close(&m);
}

/* No spelling goes round the flags of an account (relay-spec.md 7.3). */
static void every_spelling_has_the_account_s_flags(void **state)
{
    (void)state;
    static const char *const spellings[] = {"ONE@chat.example.org",
                                            "one+anything@chat.example.org",
                                            "\"one\"@chat.example.org"};
    for (size_t i = 0; i < 3; i++) {
        e2e_expect_in(LETTER_PLAIN, FAR, FAR, spellings[i], CLEAR, "");
    }
    pgfixture_sql(e2e.pg, "chatmail",
                  "update account set enforce_e2ee_incoming = false where addr = '" ONE
                  "'");
    for (size_t i = 0; i < 3; i++) { /* at once: nothing is cached */
        e2e_expect_in(LETTER_PLAIN, FAR, FAR, spellings[i], "accept", "");
    }
    pgfixture_sql(e2e.pg, "chatmail",
                  "update account set enforce_e2ee_incoming = true where addr = '" ONE
                  "'");
    e2e_expect_in(LETTER_PLAIN, FAR, FAR, ONE, CLEAR, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outgoing_mail),
        cmocka_unit_test(what_counters_match_is_logged_and_nobody_named),
        cmocka_unit_test(the_login_owns_the_address),
        cmocka_unit_test(the_header_is_cleaned),
        cmocka_unit_test(what_leaves_is_signed_as_it_leaves),
        cmocka_unit_test(what_is_made_here_is_only_signed),
        cmocka_unit_test(nothing_leaves_unsigned),
        cmocka_unit_test(a_relay_without_a_name_signs_nothing),
        cmocka_unit_test(many_messages_go_over_one_connection),
        cmocka_unit_test(a_disabled_recipient_among_others_is_left_out),
        cmocka_unit_test(incoming_mail),
        cmocka_unit_test(mail_from_literals_needs_no_signature),
        cmocka_unit_test(what_is_not_signed_is_refused),
        cmocka_unit_test(dns_trouble_is_not_final),
        cmocka_unit_test(unknown_recipients_are_refused),
        cmocka_unit_test(every_spelling_has_the_account_s_flags),
    };
    return cmocka_run_group_tests(tests, e2e_set_up, e2e_tear_down);
}
