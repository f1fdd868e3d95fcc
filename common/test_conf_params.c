/* The values of [params], relay-spec.md 1.6 and 6.1, and the value parsers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conftest.h"

static void test_numbers_are_read(void **state)
{
    (void)state;
    struct cm_conf conf = with_params("max_message_size = 10000\n"
                                      "max_load_1m = -1\n"
                                      "min_available_memory = 99999999G\n"
                                      "min_free_disk_space = 99999999G\n"
                                      "username_min_length = 6\n"
                                      "username_max_length = 10");
    assert_int_equal(conf.max_message_size, 10000);
    assert_true(conf.max_load_1m == -1.0);
    assert_int_equal(conf.min_available_memory_mib, 99999999LL * 1024);
    assert_int_equal(conf.min_free_disk_space_mib, 99999999LL * 1024);
    assert_int_equal(conf.username_min_length, 6);
    assert_int_equal(conf.username_max_length, 10);
    cm_conf_clear(&conf);
}

static void assert_tls(struct cm_conf conf, enum cm_tls_mode mode, const char *cert,
                       const char *key)
{
    assert_int_equal(conf.tls_mode, mode);
    assert_string_equal(conf.tls_cert, cert);
    assert_string_equal(conf.tls_key, key);
    cm_conf_clear(&conf);
}

static void test_tls_modes(void **state)
{
    (void)state;
    assert_tls(must_parse(MINIMAL), CM_TLS_ACME,
               "/var/lib/acme/live/chat.example.org/fullchain",
               "/var/lib/acme/live/chat.example.org/privkey");
    assert_tls(of_domain("_test.example.org"), CM_TLS_SELF,
               "/etc/ssl/certs/mailserver.pem", "/etc/ssl/private/mailserver.key");
    assert_tls(of_domain("198.51.100.7"), CM_TLS_SELF, "/etc/ssl/certs/mailserver.pem",
               "/etc/ssl/private/mailserver.key");
    assert_tls(
        with_params("tls_external_cert_and_key = /x/fullchain.pem \t /x/key.pem"),
        CM_TLS_EXTERNAL, "/x/fullchain.pem", "/x/key.pem");
    assert_tls(must_parse("[params]\nmail_domain=_t.example\n"
                          "tls_external_cert_and_key = /a /b\n"),
               CM_TLS_EXTERNAL, "/a", "/b");
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t mib;
    } good[] = {
        {"500M", 500},    {"2G", 2048},
        {"  1g  ", 1024}, {"100MB", 100},
        {"256", 256},     {"1gb", 1024},
        {"0", 0},         {"7B", 7},
        {"10 M", 10},     {"99999999G", 99999999LL * 1024},
    };
    static const char *const bad[] = {"",
                                      "M",
                                      "GB",
                                      "-1M",
                                      "1K",
                                      "1MM",
                                      "1.5G",
                                      "1BB",
                                      "1 M x",
                                      "0x10",
                                      "99999999999999999999",
                                      "9999999999999999G",
                                      "8589934593G",
                                      "B"};
    struct cm_err err = {0};
    int64_t mib = -5;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(cm_value_size_mib(good[i].text, &mib, &err), 0);
        assert_int_equal(mib, good[i].mib);
    }
    mib = -5;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(cm_value_size_mib(bad[i], &mib, &err), -1);
        assert_int_equal(mib, -5);
        assert_non_null(strstr(err.text, "allowed: "));
    }
}

static void test_ipv4_recognition(void **state)
{
    (void)state;
    assert_true(cm_value_is_ipv4("1.3.3.7"));
    static const char *const no[] = {"example.org", "fe::1",    "ad.1e.dag.adf",
                                     "12394142",    "1.2.3",    "1.2.3.4.5",
                                     "1.2.3.256",   " 1.2.3.4", ""};
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        assert_false(cm_value_is_ipv4(no[i]));
    }
    assert_true(cm_value_is_ipv6("fe::1"));
    assert_false(cm_value_is_ipv6("1.3.3.7"));
    assert_false(cm_value_is_ipv6("fe80::1%eth0"));
}

static void test_upstreams_bools(void **state)
{
    (void)state;
    struct cm_conf conf = with_params("disable_ipv6 = TRUE\nimap_rawlog = no\n"
                                      "imap_compress = yes");
    assert_true(conf.disable_ipv6);
    assert_false(conf.imap_rawlog);
    assert_false(conf.imap_compress);
    assert_int_equal(conf.unused_count, 1);
    assert_string_equal(conf.unused[0], "params: imap_compress (line 5): \"yes\" means "
                                        "false here; write true to switch it on");
    cm_conf_clear(&conf);
}

static void test_set_and_empty_differ_from_unset(void **state)
{
    (void)state;
    struct cm_conf conf = with_params("iroh_relay =\nmtail_address =\nprivacy_mail =\n"
                                      "privacy_postal =\n  A Road 1\n  B Town");
    assert_string_equal(conf.iroh_relay, "");
    assert_null(conf.mtail_address);
    assert_null(conf.privacy_mail);
    assert_string_equal(conf.privacy_postal, "A Road 1\nB Town");
    cm_conf_clear(&conf);
    conf = with_params("iroh_relay = https://iroh.example\nmtail_address = 10.0.0.1\n"
                       "mailboxes_dir = /srv/mail\nwww_folder = disabled");
    assert_string_equal(conf.iroh_relay, "https://iroh.example");
    assert_string_equal(conf.mtail_address, "10.0.0.1");
    assert_string_equal(conf.mailboxes_dir, "/srv/mail");
    assert_string_equal(conf.www_folder, "disabled");
    cm_conf_clear(&conf);
}

static void test_value_int(void **state)
{
    (void)state;
    struct cm_err err = {0};
    int64_t n = 7;
    assert_int_equal(cm_value_int(" +12 ", 1, 20, &n, &err), 0);
    assert_int_equal(n, 12);
    assert_int_equal(cm_value_int("-3", -5, 20, &n, &err), 0);
    assert_int_equal(n, -3);
    static const char *const bad[] = {"", " ", "-", "1 2", "1e3", "0x1", "--1", "1.0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(cm_value_int(bad[i], -5, 20, &n, &err), -1);
        assert_string_equal(err.text, "not a whole number; allowed: -5 to 20");
    }
    assert_int_equal(cm_value_int("99999999999999999999", 1, 20, &n, &err), -1);
    assert_string_equal(err.text, "too large; allowed: 1 to 20");
    assert_int_equal(cm_value_int("-99999999999999999999", 1, 20, &n, &err), -1);
    assert_string_equal(err.text, "too small; allowed: 1 to 20");
    assert_int_equal(n, -3);
}

static const char *const good_domains[] = {
    "chat.example.org",    "_chat.example", "_relay2",     "a-b.c1",
    "xn--d1acufc.example", "203.0.113.7",   "x._y.example"};

static const char *const bad_domains[] = {
    "",
    "localhost",
    "Chat.example.org",
    "-a.example",
    "a-.example",
    "a..b",
    ".a.b",
    "a.b.",
    "a_b.example",
    "_.example",
    "a b.c",
    "a/b.example",
    "../etc",
    "1.2.3",
    "1.2.3.4.5",
    "999.1.1.1",
    "user@a.example",
    "2001:db8::1",
    "\xc3\xa9.example",
    "a.example\n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example",
};

static void test_domains(void **state)
{
    (void)state;
    struct cm_err err = {0};
    for (size_t i = 0; i < sizeof(good_domains) / sizeof(good_domains[0]); i++) {
        assert_int_equal(cm_value_domain(good_domains[i], &err), 0);
    }
    for (size_t i = 0; i < sizeof(bad_domains) / sizeof(bad_domains[0]); i++) {
        if (cm_value_domain(bad_domains[i], &err) == 0) {
            fail_msg("accepted: %s", bad_domains[i]);
        }
    }
    char longest[300];
    memset(longest, 'a', sizeof(longest));
    for (size_t i = 60; i < sizeof(longest); i += 60) {
        longest[i] = '.';
    }
    longest[253] = '\0';
    assert_int_equal(cm_value_domain(longest, &err), 0);
    longest[253] = 'a';
    longest[254] = '\0';
    assert_int_equal(cm_value_domain(longest, &err), -1);
    assert_fails(
        "[params]\nmail_domain = localhost\n",
        "chatmail.ini:2: [params] mail_domain = \"localhost\": a name without a "
        "dot is not a public domain; allowed: a domain of small letters, digits, "
        "'-' and '.', as in chat.example.org, or an IPv4 address");
}

static void test_missing_domain(void **state)
{
    (void)state;
    static const char message[] = "chatmail.ini: [params] mail_domain: missing; "
                                  "allowed: the domain of this relay, "
                                  "as in mail_domain = chat.example.org";
    assert_fails("", message);
    assert_fails("[params]\nimap_rawlog = false\n", message);
}

/* ---- what is wrong, where, and what is allowed ---- */

static const struct wrong wrong_numbers[] = {
    {"\n# nothing\nusername_min_length = nine",
     "5: [params] username_min_length = \"nine\": not a whole number; allowed: 1 to "
     "64"},
    {"username_min_length = 0",
     "3: [params] username_min_length = \"0\": too small; allowed: 1 to 64"},
    {"username_max_length = 65",
     "3: [params] username_max_length = \"65\": too large; allowed: 1 to 64"},
    {"max_user_send_per_minute = 0",
     "3: [params] max_user_send_per_minute = \"0\": too small; allowed: 1 to 1000000"},
    {"max_message_size =", "3: [params] max_message_size = \"\": not a whole number; "
                           "allowed: 1 to 2147483647"},
    {"max_load_1m = high", "3: [params] max_load_1m = \"high\": not a number; allowed: "
                           "number; below zero refuses every new account"},
    {"max_load_1m = inf", "3: [params] max_load_1m = \"inf\": not a number; allowed: "
                          "number; below zero refuses every new account"},
    {"delete_mails_after = 20d", "3: [params] delete_mails_after = \"20d\": not a "
                                 "whole number; allowed: 0 to 36500"},
    {"max_mailbox_size = lots", "3: [params] max_mailbox_size = \"lots\": not a size; "
                                "allowed: a whole number, then M or G, as in 500M"},
};

static const struct wrong wrong_ranges[] = {
    {"username_min_length = 10",
     "3: [params] username_min_length = \"10\": username_min_length (10) is above "
     "username_max_length (9); allowed: min up to max"},
    {"username_max_length = 8",
     "3: [params] username_max_length = \"8\": username_min_length (9) is above "
     "username_max_length (8); allowed: min up to max"},
};

static const struct wrong wrong_texts[] = {
    {"mailboxes_dir = /srv\n  smtpd_relay = all",
     "3: [params] mailboxes_dir = \"/srv smtpd_relay = all\": goes on in an indented "
     "line; allowed: one line"},
    {"acme_email = a\x01@b", "3: [params] acme_email = \"a @b\": holds a control "
                             "character; allowed: printable text"},
    {"turn_socket_path = turn.socket",
     "3: [params] turn_socket_path = \"turn.socket\": not an absolute path; allowed: "
     "absolute path"},
    {"mtail_address = not/a/host", "3: [params] mtail_address = \"not/a/host\": not a "
                                   "host; allowed: host name or address"},
    {"tls_external_cert_and_key = /a",
     "3: [params] tls_external_cert_and_key = \"/a\": one word; allowed: two "
     "space-separated absolute paths, certificate and key"},
    {"tls_external_cert_and_key = /a /b /c",
     "3: [params] tls_external_cert_and_key = \"/a /b /c\": more than two words; "
     "allowed: two space-separated absolute paths, certificate and key"},
    {"tls_external_cert_and_key = /a b",
     "3: [params] tls_external_cert_and_key = \"/a b\": bad path; allowed: two "
     "space-separated absolute paths, certificate and key"},
};

static void test_wrong_values(void **state)
{
    (void)state;
    ASSERT_ALL_FAIL(wrong_numbers);
    ASSERT_ALL_FAIL(wrong_ranges);
    ASSERT_ALL_FAIL(wrong_texts);
}

static void test_long_values_are_cut_in_messages(void **state)
{
    (void)state;
    char big[400] = MINIMAL "username_min_length = ";
    size_t len = strlen(big);
    memset(big + len, 'n', 200);
    struct cm_conf conf;
    struct cm_err err = {0};
    assert_int_equal(cm_conf_parse("c", big, len + 200, &conf, &err), -1);
    assert_non_null(strstr(err.text, "nnn...\": not a whole number"));
    assert_true(strlen(err.text) < 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_read),
        cmocka_unit_test(test_tls_modes),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_ipv4_recognition),
        cmocka_unit_test(test_upstreams_bools),
        cmocka_unit_test(test_set_and_empty_differ_from_unset),
        cmocka_unit_test(test_value_int),
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_missing_domain),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_long_values_are_cut_in_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
