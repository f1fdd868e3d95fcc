/* The real program, all modes, spoken to as Postfix does, over a real PostgreSQL, a
 * real Redis, and a DNS server with moods. Numbers in comments are rows of
 * relay-spec.md 6.8. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "letters/letters.h"
#include "daemonkit/daemonkit.h"
#include "pgfixture/pgfixture.h"
#include "redisfixture/redisfixture.h"

#include "testing/checker.h"
#include "testing/dns_server.h"
#include "testing/mta.h"
#include "testing/signer.h"

#define ONE     "one@chat.example.org"
#define TWO     "two@chat.example.org"
#define LAX     "lax@chat.example.org"
#define OFF     "off@chat.example.org"
#define FAR     "far@example.net"
#define CLEAR   "523 Encryption Needed: Invalid Unencrypted Mail"
#define UNKNOWN "550 5.1.1 Recipient address rejected: User unknown"
#define AWAY    "451 4.3.0 Accounts cannot be looked up now; try again later"

static struct pgfixture *pg;
static struct redisfixture *redis;
static struct ds_server *dns;
static struct sg_key *key;
static char *record;
static struct sg_key *our_key; /* what the filter signs with */
static char dir[64], ini[96], kept[96], key_file[96];

struct side {
    const char *mode;
    char path[96], log[96];
    int listener;
    pid_t pid;
};
static struct side out = {.mode = "outgoing"}, in = {.mode = "incoming"},
                   sign = {.mode = "signing"};

static void start(struct side *side)
{
    char db[256];
    snprintf(db, sizeof(db), "%s",
             pgfixture_conninfo(pg, "chatmail", "chatmail_filter"));
    const char *argv[] = {FILTER_PROGRAM,
                          "--mode",
                          side->mode,
                          "--config",
                          ini,
                          "--db",
                          db,
                          "--redis",
                          redisfixture_path(redis),
                          "--dns",
                          ds_list(dns),
                          "--keep-rejected",
                          kept,
                          "--key",
                          key_file,
                          NULL};
    side->pid = daemonkit_start(argv, side->listener, "milter", side->log);
}

/* Stops it and starts it again, with a new rate: no test is limited by another's mail.
 */
static void stop(struct side *side)
{
    if (side->pid > 0) {
        assert_int_equal(daemonkit_stop(side->pid, SIGTERM), 0);
        side->pid = 0;
    }
}

static void wait_for_log(const struct side *side, const char *text)
{
    for (int i = 0; i < 500; i++) {
        if (daemonkit_log_has(side->log, text)) {
            return;
        }
        usleep(10000);
    }
    fail_msg("%s: no %s", side->log, text);
}

static void write_ini(const char *more)
{
    char text[512];
    struct cm_err err;
    int len = snprintf(text, sizeof(text),
                       "[params]\nmail_domain = chat.example.org\n%s", more);
    assert_int_equal(cm_file_replace(ini, text, (size_t)len, 0644, &err), 0);
}

static void write_key(const struct sg_key *k)
{
    struct cm_err err;
    char *pem = sg_key_pem(k);
    assert_int_equal(cm_file_replace(key_file, pem, strlen(pem), 0600, &err), 0);
    free(pem);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test_filter.XXXXXX");
    assert_non_null(mkdtemp(dir));
    chmod(dir, 0755);
    snprintf(ini, sizeof(ini), "%s/chatmail.ini", dir);
    snprintf(kept, sizeof(kept), "%s/kept", dir);
    assert_int_equal(mkdir(kept, 0700), 0);
    write_ini("max_user_send_per_minute = 60000\nmax_user_send_burst_size = 10000\n");
    snprintf(key_file, sizeof(key_file), "%s/opendkim.private", dir);
    our_key = sg_key_rsa(2048);
    write_key(our_key);
    pg = pgfixture_chatmail(SCHEMA_DIR, "001-account", "009-filter", NULL);
    redis = redisfixture_new();
    assert_non_null(pg);
    assert_non_null(redis);
    pgfixture_sql(
        pg, "chatmail",
        "insert into account (addr, password, disabled, enforce_e2ee_incoming)"
        " values ('" ONE "', 'x', false, true), ('" TWO "', 'x', false, true),"
        " ('" LAX "', 'x', false, false), ('" OFF "', 'x', true, true)");
    dns = ds_start();
    key = sg_key_ed25519();
    record = sg_key_record(key);
    const struct ds_row row = {.name = "sel._domainkey.example.net",
                               .mood = DS_ANSWER,
                               .txt = {record},
                               .ttl = 60};
    ds_set(dns, &row);
    struct side *const sides[] = {&out, &in, &sign};
    for (int i = 0; i < 3; i++) {
        snprintf(sides[i]->path, sizeof(sides[i]->path), "%s/%s", dir, sides[i]->mode);
        snprintf(sides[i]->log, sizeof(sides[i]->log), "%s/%s.log", dir,
                 sides[i]->mode);
        sides[i]->listener = daemonkit_listen(sides[i]->path);
        start(sides[i]);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stop(&out);
    stop(&in);
    stop(&sign);
    ds_stop(&dns);
    sg_key_free(&key);
    sg_key_free(&our_key);
    free(record);
    redisfixture_free(&redis);
    pgfixture_free(&pg);
    char *clean = cm_asprintf("rm -rf %s", dir);
    assert_int_equal(system(clean), 0);
    free(clean);
    return 0;
}

/* One message out, over a connection of its own. changes: those asked for; may be NULL.
 */
static void expect_out(enum letter letter, const char *from, const char *author,
                       const char *to, const char *answer, const char *changes)
{
    struct mta m;
    char *text = letter_text(letter, author, to, "x@y");
    mta_open(&m, out.path);
    assert_string_equal(mta_send(&m, from, from[0] != '\0' ? from : ONE, to, text),
                        answer);
    if (changes != NULL) {
        assert_string_equal(m.changes, changes);
    }
    mta_close(&m);
    free(text);
}

#define SIGNED "insert DKIM-Signature 1\n"
#define DOTS   "header Subject 1  [...]\n" SIGNED

static void outgoing_mail(void **state)
{
    (void)state;
    expect_out(LETTER_ENCRYPTED, ONE, ONE, TWO, "accept", DOTS); /* 5 */
    expect_out(LETTER_ENCRYPTED, ONE, ONE, FAR, "accept", DOTS);
    expect_out(LETTER_ENCRYPTED, ONE, "evil@chat.example.org", TWO, /* 6 */
               "500 Invalid FROM <evil@chat.example.org> for <" ONE ">", "");
    expect_out(LETTER_SETUP, ONE, ONE, ONE, "accept", DOTS); /* 7 */
    expect_out(LETTER_SETUP, ONE, ONE, TWO, CLEAR, "");
    expect_out(LETTER_PLAIN, ONE, ONE, TWO, CLEAR, ""); /* 8 */
    expect_out(LETTER_MDN, ONE, ONE, TWO, CLEAR, "");   /* 9 */
    expect_out(LETTER_FAKE_ENCRYPTED, ONE, ONE, TWO, CLEAR, "");
    expect_out(LETTER_LITERAL, ONE, ONE, TWO, CLEAR, "");
    expect_out(LETTER_SECUREJOIN, ONE, ONE, FAR, "accept", DOTS);
    expect_out(LETTER_SECUREJOIN_FAKE, ONE, ONE, FAR, CLEAR, "");
    expect_out(LETTER_ENCRYPTED, OFF, OFF, TWO, "discard", "");
    expect_out(LETTER_ENCRYPTED, ONE, ONE, OFF, "discard", ""); /* 20 */
    expect_out(LETTER_ENCRYPTED, ONE, ONE, "OFF+x@Chat.Example.org", "discard", "");
    expect_out(LETTER_ENCRYPTED, "", ONE, TWO, "500 Invalid FROM <" ONE "> for <>", "");
    assert_true(daemonkit_log_has(out.log, "Outgoing: Filtering encrypted mail."));
}

static void what_counters_match_is_logged_and_nobody_named(void **state)
{
    (void)state;
    daemonkit_log_has(out.log, "");
    expect_out(LETTER_PLAIN, ONE, ONE, TWO, CLEAR, NULL);
    assert_true(daemonkit_log_has(out.log, "Outgoing: Filtering unencrypted mail."));
    expect_out(LETTER_PLAIN, ONE, ONE, TWO, CLEAR, NULL);
    assert_true(daemonkit_log_has(out.log, "Rejected unencrypted mail from: "));
    expect_out(LETTER_PLAIN, ONE, ONE, TWO, CLEAR, NULL);
    assert_false(daemonkit_log_has(out.log, "one@"));
}

static void the_login_owns_the_address(void **state)
{
    (void)state;
    struct mta m;
    mta_open(&m, out.path);
    mta_mail(&m, TWO, ONE);
    assert_string_equal(mta_rcpt(&m, TWO, NULL),
                        "553 5.7.1 <" TWO ">: Sender address rejected: not owned by "
                        "user " ONE);
    mta_close(&m);
    mta_open(&m, out.path);
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
    mta_open(&m, out.path);
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
    mta_open(&m, out.path);
    assert_string_equal(mta_send(&m, ONE, ONE, FAR, text), "accept");
    assert_true(verifies(&m, our_key, leaves));
    assert_false(verifies(&m, our_key, text));
    assert_string_equal(mta_send(&m, ONE, ONE, ONE, good), "accept");
    assert_true(verifies(&m, our_key, good));
    mta_close(&m);
    assert_true(daemonkit_log_has(
        out.log, "DKIM-Signature field added (s=opendkim, d=chat.example.org)"));
    char *big = letter_of_size(ONE, FAR, "x@y", 2000000);
    mta_open(&m, out.path);
    assert_string_equal(mta_send(&m, ONE, ONE, FAR, big), "accept");
    assert_true(verifies(&m, our_key, big));
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
    mta_open(&m, sign.path);
    assert_string_equal(mta_send(&m, "", NULL, ONE, bounce), "accept");
    assert_string_equal(m.changes, SIGNED);
    assert_true(verifies(&m, our_key, bounce));
    assert_string_equal(mta_send(&m, "root@other.example", NULL, ONE, other), "accept");
    assert_string_equal(m.changes, "");
    mta_close(&m);
    /* The socket of users never signs for who is not logged in. */
    mta_open(&m, out.path);
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
    struct side *const sides[] = {&out, &sign};
    struct sg_key *other = sg_key_rsa(2048);
    char *good = letter_text(LETTER_ENCRYPTED, ONE, FAR, "x@y");
    struct mta m;
    assert_int_equal(unlink(key_file), 0);
    for (int i = 0; i < 2; i++) {
        stop(sides[i]);
        daemonkit_log_has(sides[i]->log, "");
        start(sides[i]);
    }
    expect_out(LETTER_ENCRYPTED, ONE, ONE, FAR, NOT_SIGNED_NOW, "");
    assert_true(daemonkit_log_has(out.log, "event=signing_key_missing"));
    expect_out(LETTER_PLAIN, ONE, ONE, FAR, CLEAR, "");
    mta_open(&m, sign.path);
    assert_string_equal(mta_send(&m, "", NULL, ONE, bounce), NOT_SIGNED_NOW);
    /* It comes, and is taken at a reload; a broken one leaves it. */
    write_key(other);
    for (int i = 0; i < 2; i++) {
        kill(sides[i]->pid, SIGHUP);
        wait_for_log(sides[i], "event=reloaded");
    }
    assert_string_equal(mta_send(&m, "", NULL, ONE, bounce), "accept");
    assert_true(verifies(&m, other, bounce));
    mta_close(&m);
    mta_open(&m, out.path);
    assert_string_equal(mta_send(&m, ONE, ONE, FAR, good), "accept");
    assert_true(verifies(&m, other, good));
    struct cm_err err;
    assert_int_equal(cm_file_replace(key_file, "no key", 6, 0600, &err), 0);
    kill(out.pid, SIGHUP);
    wait_for_log(&out, "event=reload_failed");
    assert_string_equal(mta_send(&m, ONE, ONE, FAR, good), "accept");
    assert_true(verifies(&m, other, good));
    mta_close(&m);
    write_key(our_key);
    for (int i = 0; i < 2; i++) {
        kill(sides[i]->pid, SIGHUP);
        wait_for_log(sides[i], "event=reloaded");
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
    stop(&sign);
    daemonkit_log_has(sign.log, "");
    assert_int_equal(cm_file_replace(ini, address, strlen(address), 0644, &err), 0);
    assert_int_equal(unlink(key_file), 0);
    start(&sign);
    mta_open(&m, sign.path);
    assert_string_equal(mta_send(&m, "", NULL, "one@[203.0.113.1]", text), "accept");
    assert_string_equal(m.changes, "");
    mta_close(&m);
    assert_false(daemonkit_log_has(sign.log, "signing_key_missing"));
    stop(&sign);
    write_ini("max_user_send_per_minute = 60000\nmax_user_send_burst_size = 10000\n");
    write_key(our_key);
    start(&sign);
}

static void many_messages_go_over_one_connection(void **state)
{
    (void)state;
    struct mta m;
    char *good = letter_text(LETTER_ENCRYPTED, ONE, TWO, "x@y");
    char *bad = letter_text(LETTER_FAKE_ENCRYPTED, ONE, TWO, "x@y");
    mta_open(&m, out.path);
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
    mta_open(&m, out.path);
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

static char *signed_letter(enum letter letter, const char *author, const char *to)
{
    char *text = letter_text(letter, author, to, "x@y");
    const struct sg_how how = {.key = key,
                               .domain = strchr(author, '@') + 1,
                               .selector = "sel",
                               .canon = "relaxed/simple",
                               .body_length = -1};
    struct sg_text result = sg_sign(&how, text, strlen(text));
    free(text);
    return result.data;
}

static void expect_in_text(const char *text, const char *from, const char *to,
                           const char *answer, const char *changes)
{
    struct mta m;
    mta_open(&m, in.path);
    assert_string_equal(mta_send(&m, from, NULL, to, text), answer);
    assert_string_equal(m.changes, changes);
    mta_close(&m);
}

static void expect_in(enum letter letter, const char *from, const char *author,
                      const char *to, const char *answer, const char *changes)
{
    char *text = signed_letter(letter, author, to);
    expect_in_text(text, from, to, answer, changes);
    free(text);
}

#define NOT_SIGNED "554 5.7.1 No DKIM signature found"
#define NOT_VALID  "554 5.7.1 No valid DKIM signature found"
#define NO_KEY     "451 4.7.5 DKIM key cannot be looked up now; try again later"

static void incoming_mail(void **state)
{
    (void)state;
    expect_in(LETTER_ENCRYPTED, FAR, FAR, ONE, "accept", "");
    expect_in(LETTER_SECUREJOIN, FAR, FAR, ONE, "accept", "");
    expect_in(LETTER_PLAIN, FAR, FAR, ONE, CLEAR, ""); /* 10 */
    expect_in(LETTER_PLAIN, FAR, FAR, LAX, "accept", "");
    expect_in(LETTER_FAKE_ENCRYPTED, FAR, FAR, ONE, CLEAR, "");
    expect_in(LETTER_MAILER_DAEMON, "", FAR, ONE, "accept", ""); /* 11 */
    expect_in(LETTER_SETUP, FAR, FAR, ONE, CLEAR, "");
    expect_in(LETTER_ENCRYPTED, "b@example.com", FAR, ONE, "accept",
              "from <>\n");                                    /* 19 */
    expect_in(LETTER_ENCRYPTED, FAR, FAR, OFF, "discard", ""); /* 20 */
    assert_true(daemonkit_log_has(in.log, "Incoming: Filtering mailer-daemon message "
                                          "from "));
}

/* 12: nobody can sign for an address. */
static void mail_from_literals_needs_no_signature(void **state)
{
    (void)state;
    static const char *const from[] = {"one@[192.0.2.0]", "<one@[IPv6:2001:db8::1]>"};
    for (size_t i = 0; i < 2; i++) {
        char *text = letter_text(LETTER_ENCRYPTED, from[i], ONE, "x@y");
        expect_in_text(text, "", ONE, "accept", "");
        free(text);
    }
    char *text = letter_text(LETTER_PLAIN, "one@[192.0.2.0]", ONE, "x@y");
    expect_in_text(text, "", ONE, CLEAR, "");
    free(text);
}

static void what_is_not_signed_is_refused(void **state)
{
    (void)state;
    char *text = letter_text(LETTER_ENCRYPTED, FAR, ONE, "x@y");
    expect_in_text(text, FAR, ONE, NOT_SIGNED, "");
    free(text);
    expect_in(LETTER_ENCRYPTED, "a@example.com", "a@example.com", ONE, NOT_VALID, "");
    text = signed_letter(LETTER_ENCRYPTED, FAR, ONE);
    memcpy(strstr(text, "Subject: [...]"), "Subject: [,..]", 14);
    expect_in_text(text, FAR, ONE, NOT_VALID, "");
    free(text);
    text = signed_letter(LETTER_ENCRYPTED, FAR, ONE);
    char *evil = strstr(text, "From: " FAR);
    memcpy(evil, "From: bar@example.net", 21);
    expect_in_text(text, FAR, ONE, NOT_VALID, "");
    free(text);
}

static void dns_trouble_is_not_final(void **state)
{
    (void)state;
    struct ds_row row = {.name = "sel._domainkey.example.com", .mood = DS_SERVFAIL};
    ds_set(dns, &row);
    expect_in(LETTER_ENCRYPTED, "a@example.com", "a@example.com", ONE, NO_KEY, "");
    expect_in(LETTER_PLAIN, "a@example.com", "a@example.com", ONE, CLEAR, "");
    row.mood = DS_SERVFAIL_ONCE;
    row.txt[0] = record;
    row.ttl = 0;
    ds_set(dns, &row);
    expect_in(LETTER_ENCRYPTED, "a@example.com", "a@example.com", ONE, "accept", "");
    row.mood = DS_NXDOMAIN;
    ds_set(dns, &row);
    expect_in(LETTER_ENCRYPTED, "a@example.com", "a@example.com", ONE, NOT_VALID, "");
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
    mta_open(&m, in.path);
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
        expect_in(LETTER_PLAIN, FAR, FAR, spellings[i], CLEAR, "");
    }
    pgfixture_sql(pg, "chatmail",
                  "update account set enforce_e2ee_incoming = false where addr = '" ONE
                  "'");
    for (size_t i = 0; i < 3; i++) { /* at once: nothing is cached */
        expect_in(LETTER_PLAIN, FAR, FAR, spellings[i], "accept", "");
    }
    pgfixture_sql(pg, "chatmail",
                  "update account set enforce_e2ee_incoming = true where addr = '" ONE
                  "'");
    expect_in(LETTER_PLAIN, FAR, FAR, ONE, CLEAR, "");
}

/* The rate */

static unsigned taken(const char *login, unsigned n)
{
    struct mta m;
    unsigned through = 0;
    mta_open(&m, out.path);
    for (unsigned i = 0; i < n; i++) {
        mta_mail(&m, login, login);
        const char *answer = mta_rcpt(&m, TWO, NULL);
        if (strcmp(answer, "continue") == 0) {
            through++;
            /* A second recipient costs nothing. */
            assert_string_equal(mta_rcpt(&m, FAR, NULL), "continue");
        } else {
            char *limit = cm_asprintf("450 4.7.1: Too much mail from %s", login);
            assert_string_equal(answer, limit);
            assert_string_equal(mta_rcpt(&m, FAR, NULL), limit);
            free(limit);
        }
        mta_abort(&m);
    }
    mta_close(&m);
    return through;
}

static void reload(struct side *side, const char *more)
{
    daemonkit_log_has(side->log, "");
    write_ini(more);
    kill(side->pid, SIGHUP);
    wait_for_log(side, "event=reloaded");
}

static void too_much_mail_is_put_off(void **state)
{
    (void)state;
    reload(&out, "max_user_send_per_minute = 1\n");
    assert_int_equal(taken("a@chat.example.org", 14), 10); /* the default burst */
    struct mta m;
    mta_open(&m, out.path);
    mta_mail(&m, "A@CHAT.example.org", "A@CHAT.example.org");
    assert_memory_equal(mta_rcpt(&m, TWO, NULL), "450 4.7.1: Too much mail from ", 30);
    mta_close(&m);
    assert_int_equal(taken("b@chat.example.org", 3), 3);
    kill(out.pid, SIGKILL); /* the count is not in the process */
    assert_true(daemonkit_stop(out.pid, SIGTERM) != 0);
    start(&out);
    assert_int_equal(taken("a@chat.example.org", 1), 0);
    redisfixture_kill(redis);
    assert_int_equal(taken("a@chat.example.org", 14), 10); /* counted here now */
    assert_int_equal(taken("b@chat.example.org", 14), 10);
    expect_out(LETTER_ENCRYPTED, "e@chat.example.org", "e@chat.example.org", TWO,
               "accept", DOTS);
    redisfixture_start(redis);
    for (int i = 0; i < 500 && taken("a@chat.example.org", 1) != 0; i++) {
        usleep(10000);
    }
    assert_int_equal(taken("c@chat.example.org", 12), 10);
    redisfixture_freeze(redis);
    assert_int_equal(taken("d@chat.example.org", 1), 1); /* not held up for long */
    redisfixture_unfreeze(redis);
    reload(&out,
           "max_user_send_per_minute = 60000\nmax_user_send_burst_size = 10000\n");
}

/* Both processes have noticed that it is back. */
static void wait_for_database(void)
{
    struct mta m;
    char *text = letter_text(LETTER_ENCRYPTED, ONE, TWO, "x@y");
    bool away = true;
    for (int i = 0; i < 500 && away; i++) {
        mta_open(&m, in.path);
        mta_mail(&m, FAR, NULL);
        away = strcmp(mta_rcpt(&m, ONE, NULL), AWAY) == 0;
        mta_close(&m);
        mta_open(&m, out.path);
        away |= strcmp(mta_send(&m, ONE, ONE, TWO, text), AWAY) == 0;
        mta_close(&m);
        usleep(20000);
    }
    assert_false(away);
    free(text);
}

static void nothing_is_refused_because_of_the_database(void **state)
{
    (void)state;
    pgfixture_stop(pg);
    expect_out(LETTER_ENCRYPTED, ONE, ONE, TWO, AWAY, "");
    expect_out(LETTER_SETUP, ONE, ONE, ONE, AWAY, "");
    expect_out(LETTER_PLAIN, ONE, ONE, TWO, CLEAR, ""); /* needs no database */
    expect_in(LETTER_ENCRYPTED, FAR, FAR, ONE, AWAY, "");
    expect_in(LETTER_PLAIN, FAR, FAR, "nobody@chat.example.org", AWAY, "");
    pgfixture_start(pg);
    struct mta m;
    mta_open(&m, in.path);
    for (int i = 0; i < 500; i++) {
        mta_mail(&m, FAR, NULL);
        if (strcmp(mta_rcpt(&m, ONE, NULL), "continue") == 0) {
            break;
        }
        assert_string_equal(m.answer, AWAY);
        usleep(20000);
    }
    /* Known at RCPT, and gone before the end of the data. */
    assert_string_equal(mta_rcpt(&m, ONE, NULL), "continue");
    pgfixture_freeze(pg);
    char *text = signed_letter(LETTER_ENCRYPTED, FAR, ONE);
    assert_string_equal(mta_data(&m, text, strlen(text)), AWAY);
    pgfixture_unfreeze(pg);
    free(text);
    mta_close(&m);
    pgfixture_stop(pg); /* what was frozen may fail later; other tests need it whole */
    pgfixture_start(pg);
    wait_for_database();
}

/* Many at once */

struct lane {
    pthread_t thread;
    const struct side *side;
    const char *from, *login, *to, *text;
    char answer[100];
    double seconds;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *drive(void *ctx)
{
    struct lane *lane = ctx;
    struct mta m;
    double begun = now_s();
    mta_open(&m, lane->side->path);
    snprintf(lane->answer, sizeof(lane->answer), "%.99s",
             mta_send(&m, lane->from, lane->login, lane->to, lane->text));
    lane->seconds = now_s() - begun;
    mta_close(&m);
    return NULL;
}

#define LANES 50
#define SLOW  8 /* names */

static void many_long_messages_pass_at_once(void **state)
{
    (void)state;
    static struct lane lanes[LANES];
    char *text = letter_of_size(ONE, TWO, "x@y", 2000000);
    for (int i = 0; i < LANES; i++) {
        lanes[i] = (struct lane){
            .side = &out, .from = ONE, .login = ONE, .to = TWO, .text = text};
        assert_int_equal(pthread_create(&lanes[i].thread, NULL, drive, &lanes[i]), 0);
    }
    for (int i = 0; i < LANES; i++) {
        pthread_join(lanes[i].thread, NULL);
        assert_string_equal(lanes[i].answer, "accept");
    }
    free(text);
}

/* Fifty messages wait for a name server; another one does not wait for them. */
static void slow_dns_delays_nobody_else(void **state)
{
    (void)state;
    static struct lane lanes[LANES];
    static char names[LANES][64], texts[LANES][64];
    for (int i = 0; i < LANES; i++) {
        snprintf(names[i], sizeof(names[i]), "sel._domainkey.slow%d.example", i % SLOW);
        snprintf(texts[i], sizeof(texts[i]), "a@slow%d.example", i % SLOW);
        const struct ds_row row = {
            .name = names[i], .mood = DS_ANSWER, .txt = {record}, .late_ms = 1500};
        ds_set(dns, &row);
        lanes[i] =
            (struct lane){.side = &in,
                          .from = texts[i],
                          .to = ONE,
                          .text = signed_letter(LETTER_ENCRYPTED, texts[i], ONE)};
        assert_int_equal(pthread_create(&lanes[i].thread, NULL, drive, &lanes[i]), 0);
    }
    usleep(500000);
    double begun = now_s();
    expect_in(LETTER_ENCRYPTED, FAR, FAR, ONE, "accept", "");
    double quick = now_s() - begun;
    for (int i = 0; i < LANES; i++) {
        pthread_join(lanes[i].thread, NULL);
        assert_string_equal(lanes[i].answer, "accept");
        assert_true(lanes[i].seconds > 1.4);
        free((char *)(uintptr_t)lanes[i].text);
    }
    if (quick > 0.7) {
        fail_msg("it waited for %.2f s", quick);
    }
}

/* Kept, stopped, killed */

static unsigned files_kept(void)
{
    char *command = cm_asprintf("ls %s | wc -l", kept);
    FILE *f = popen(command, "r");
    unsigned n = 0;
    assert_int_equal(fscanf(f, "%u", &n), 1);
    pclose(f);
    free(command);
    return n;
}

static void rejected_mail_is_kept_in_private(void **state)
{
    (void)state;
    unsigned before = files_kept();
    expect_out(LETTER_ENCRYPTED, ONE, ONE, TWO, "accept", NULL);
    assert_int_equal(files_kept(), before);
    expect_out(LETTER_PLAIN, ONE, ONE, TWO, CLEAR, NULL);
    assert_int_equal(files_kept(), before + 1);
    char *command = cm_asprintf("cd %s && [ -z \"$(find . -type f ! -perm 0600)\" ] &&"
                                " grep -q 'Hi!' *-unencrypted.eml",
                                kept);
    assert_int_equal(system(command), 0);
    free(command);
}

static void a_restart_lets_a_message_end(void **state)
{
    (void)state;
    struct mta m;
    size_t at;
    char *text = letter_text(LETTER_ENCRYPTED, ONE, TWO, "x@y");
    mta_open(&m, out.path);
    mta_mail(&m, ONE, ONE);
    assert_string_equal(mta_rcpt(&m, TWO, NULL), "continue");
    mta_header(&m, text, &at);
    assert_true(mta_body(&m, text + at, 100));
    kill(out.pid, SIGTERM);
    usleep(300000);
    mta_body(&m, text + at + 100, strlen(text) - at - 100);
    assert_string_equal(m.answer, "continue");
    assert_string_equal(mta_end(&m), "accept");
    mta_close(&m);
    assert_int_equal(daemonkit_stop(out.pid, SIGTERM), 0);
    /* The socket stayed; a message offered meanwhile waits in its backlog. */
    start(&out);
    expect_out(LETTER_ENCRYPTED, ONE, ONE, TWO, "accept", NULL);
    free(text);
}

static void a_kill_is_never_an_acceptance(void **state)
{
    (void)state;
    struct mta m;
    size_t at;
    char *text = letter_text(LETTER_ENCRYPTED, ONE, TWO, "x@y");
    mta_open(&m, out.path);
    mta_mail(&m, ONE, ONE);
    assert_string_equal(mta_rcpt(&m, TWO, NULL), "continue");
    mta_header(&m, text, &at);
    kill(out.pid, SIGKILL);
    mta_body(&m, text + at, strlen(text) - at);
    assert_string_equal(mta_end(&m), "lost"); /* Postfix says 451 for that */
    close(m.fd);
    daemonkit_stop(out.pid, SIGTERM);
    start(&out);
    expect_out(LETTER_ENCRYPTED, ONE, ONE, TWO, "accept", NULL);
    free(text);
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
        cmocka_unit_test(too_much_mail_is_put_off),
        cmocka_unit_test(nothing_is_refused_because_of_the_database),
        cmocka_unit_test(many_long_messages_pass_at_once),
        cmocka_unit_test(slow_dns_delays_nobody_else),
        cmocka_unit_test(rejected_mail_is_kept_in_private),
        cmocka_unit_test(a_restart_lets_a_message_end),
        cmocka_unit_test(a_kill_is_never_an_acceptance),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
