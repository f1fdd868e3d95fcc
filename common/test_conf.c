#include "common/conf.h"

#include <setjmp.h>
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

#define MINIMAL "[params]\nmail_domain = chat.example.org\n"

static struct cm_conf must_parse(const char *text)
{
    struct cm_conf conf;
    struct cm_err err = {0};
    if (cm_conf_parse("chatmail.ini", text, strlen(text), &conf, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return conf;
}

static void assert_fails(const char *text, const char *message)
{
    struct cm_conf conf = {.gateway_count = 77};
    struct cm_err err = {0};
    assert_int_equal(cm_conf_parse("chatmail.ini", text, strlen(text), &conf, &err),
                     -1);
    assert_int_equal(err.kind, CM_ERR_WORLD);
    assert_string_equal(err.text, message);
    assert_int_equal(conf.gateway_count, 77);
}

static struct cm_conf with_params(const char *lines)
{
    char *text = cm_asprintf(MINIMAL "%s\n", lines);
    struct cm_conf conf = must_parse(text);
    free(text);
    return conf;
}

static struct cm_conf of_domain(const char *domain)
{
    char *text = cm_asprintf("[params]\nmail_domain = %s\n", domain);
    struct cm_conf conf = must_parse(text);
    free(text);
    return conf;
}

/* ---- relay-spec.md 1.6 and 6.1 ---- */

static void assert_default_params(const struct cm_conf *conf)
{
    assert_string_equal(conf->mail_domain, "chat.example.org");
    assert_int_equal(conf->max_user_send_per_minute, 60);
    assert_int_equal(conf->max_user_send_burst_size, 10);
    assert_string_equal(conf->max_mailbox_size, "500M");
    assert_int_equal(conf->max_mailbox_size_mib, 500);
    assert_int_equal(conf->max_message_size, 31457280);
    assert_string_equal(conf->delete_mails_after, "20");
    assert_string_equal(conf->delete_large_after, "7");
    assert_int_equal(conf->delete_inactive_users_after, 90);
    assert_int_equal(conf->username_min_length, 9);
    assert_int_equal(conf->username_max_length, 9);
    assert_int_equal(conf->password_min_length, 9);
    assert_true(conf->max_load_1m == 5.0);
    assert_int_equal(conf->min_available_memory_mib, 200);
    assert_int_equal(conf->min_free_disk_space_mib, 1024);
    assert_int_equal(conf->max_imap_connections, 10000);
    assert_int_equal(conf->max_smtp_connections, 1000);
    assert_string_equal(conf->tls_external_cert_and_key, "");
    assert_string_equal(conf->www_folder, "");
    assert_false(conf->disable_ipv6);
    assert_string_equal(conf->acme_email, "");
    assert_null(conf->iroh_relay);
    assert_string_equal(conf->turn_socket_path, "/run/chatmail-turn/turn.socket");
    assert_null(conf->mtail_address);
    assert_false(conf->imap_rawlog);
    assert_false(conf->imap_compress);
    assert_null(conf->privacy_postal);
    assert_null(conf->privacy_mail);
    assert_null(conf->privacy_pdo);
    assert_null(conf->privacy_supervisor);
}

static void assert_default_rest(const struct cm_conf *conf)
{
    assert_int_equal(conf->filtermail_smtp_port, 10080);
    assert_int_equal(conf->filtermail_smtp_port_incoming, 10081);
    assert_int_equal(conf->filtermail_http_port_incoming, 10082);
    assert_int_equal(conf->filtermail_lmtp_port_transport, 10083);
    assert_int_equal(conf->postfix_reinject_port, 10025);
    assert_int_equal(conf->postfix_reinject_port_incoming, 10026);
    assert_string_equal(conf->filtermail_host, "127.0.0.1");
    assert_string_equal(conf->postfix_host, "127.0.0.1");
    assert_string_equal(conf->mailboxes_dir, "/home/vmail/mail/chat.example.org");
    assert_string_equal(conf->passdb_path, "/home/vmail/passdb.sqlite");
    assert_string_equal(conf->store.ssh, "");
    assert_string_equal(conf->store.addresses, "");
    assert_int_equal(conf->store.egress, CM_EGRESS_DIRECT);
    assert_int_equal(conf->store.bus_port, 4710);
    assert_int_equal(conf->gateway_count, 0);
    assert_string_equal(conf->domain, "chat.example.org");
    assert_string_equal(conf->myhostname, "chat.example.org");
    assert_false(conf->is_ip);
    assert_int_equal(conf->unused_count, 0);
}

static void test_minimal_file_gives_the_defaults(void **state)
{
    (void)state;
    struct cm_conf conf = must_parse(MINIMAL);
    assert_default_params(&conf);
    assert_default_rest(&conf);
    cm_conf_clear(&conf);
    cm_conf_clear(&conf);
}

static void test_generated_file_parses_back_to_the_defaults(void **state)
{
    (void)state;
    char *text = cm_conf_default_text("chat.example.org");
    struct cm_conf conf = must_parse(text);
    assert_default_params(&conf);
    assert_default_rest(&conf);
    cm_conf_clear(&conf);
    free(text);
}

/* Every commented default, made live, is accepted and changes nothing. */
static void test_generated_comments_are_the_defaults(void **state)
{
    (void)state;
    char *text = cm_conf_default_text("chat.example.org");
    char *end = strstr(text, "[store]");
    assert_non_null(end);
    *end = '\0';
    unsigned live = 0;
    for (char *line = text; (line = strstr(line, "\n# ")) != NULL; line += 3) {
        size_t key = strspn(line + 3, "abcdefghijklmnopqrstuvwxyz_0123456789");
        bool unset = strncmp(line + 3, "iroh_relay", 10) == 0;
        if (key > 0 && strncmp(line + 3 + key, " =", 2) == 0 && !unset) {
            memmove(line + 1, line + 3, strlen(line + 3) + 1);
            live++;
        }
    }
    assert_int_equal(live, 23);
    struct cm_conf conf = must_parse(text);
    assert_default_params(&conf);
    assert_default_rest(&conf);
    cm_conf_clear(&conf);
    free(text);
}

static void test_bytes_and_seconds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes; /* -1: refused */
    } sizes[] = {{"0", 0},
                 {"1 TB", 1000000000000},
                 {"500GB", 500000000000},
                 {"1tib", INT64_C(1) << 40},
                 {"7  mb", 7000000},
                 {"", -1},
                 {"TB", -1},
                 {"1", -1},
                 {"1.5 TB", -1},
                 {"-1 TB", -1},
                 {"1001 TB", -1},
                 {"1 TB x", -1},
                 {"99999999999999999999 TB", -1}};
    static const struct {
        const char *text;
        int64_t seconds;
    } times[] = {{"90", 90},     {"90s", 90}, {"15m", 900}, {"2 h", 7200},
                 {"7d", 604800}, {"0", -1},   {"8d", -1},   {"h", -1},
                 {"1w", -1},     {"-5", -1},  {"", -1},     {"99999999999999999d", -1}};
    int64_t n;
    struct cm_err err;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        n = -7;
        assert_int_equal(cm_value_bytes(sizes[i].text, &n, &err),
                         sizes[i].bytes < 0 ? -1 : 0);
        assert_int_equal(n, sizes[i].bytes < 0 ? -7 : sizes[i].bytes);
    }
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        n = -7;
        assert_int_equal(cm_value_seconds(times[i].text, 604800, &n, &err),
                         times[i].seconds < 0 ? -1 : 0);
        assert_int_equal(n, times[i].seconds < 0 ? -7 : times[i].seconds);
    }
}

static void assert_golden(const char *name, char *text)
{
    const char *dir = getenv("PORTICO_TESTDATA_DIR");
    assert_non_null(dir);
    char *path = cm_asprintf("%s/%s", dir, name);
    char *golden = NULL;
    struct cm_err err = {0};
    if (getenv("PORTICO_GOLDEN_UPDATE") != NULL) {
        assert_int_equal(cm_file_replace(path, text, strlen(text), 0644, &err), 0);
    }
    assert_int_equal(cm_file_read(path, 1 << 20, &golden, NULL, &err), 1);
    assert_string_equal(text, golden);
    free(golden);
    free(path);
    free(text);
}

static char *reference_page(void)
{
    char *table = cm_conf_reference();
    char *page = cm_asprintf("# Settings\n\n"
                             "`chatops init DOMAIN` writes `chatmail.ini`. `[params]` "
                             "has upstream's keys with\n"
                             "upstream's defaults; `[store]` and `[gateway NAME]` are "
                             "Portico's own. A value may\n"
                             "go on in the next line when that begins with a blank. "
                             "Lines that begin with `#` or\n"
                             "`;` are comments.\n\n"
                             "This page is written by the settings table in "
                             "`common/conf_table.c`; a test keeps\n"
                             "them the same.\n\n%s",
                             table);
    free(table);
    return page;
}

static void test_golden_files(void **state)
{
    (void)state;
    assert_golden("generated.ini", cm_conf_default_text("chat.example.org"));
    assert_golden("../../docs/settings.md", reference_page());
}

static void test_generated_key_made_live_counts(void **state)
{
    (void)state;
    char *text = cm_conf_default_text("chat.example.org");
    char *at = strstr(text, "# max_user_send_per_minute = 60");
    assert_non_null(at);
    memcpy(at, "max_user_send_per_minute = 37  ", 31);
    struct cm_conf conf = must_parse(text);
    assert_int_equal(conf.max_user_send_per_minute, 37);
    cm_conf_clear(&conf);
    free(text);
}

static void test_ip_relay(void **state)
{
    (void)state;
    char *text = cm_conf_default_text("1.3.3.7");
    struct cm_conf conf = must_parse(text);
    assert_true(conf.is_ip);
    assert_string_equal(conf.mail_domain, "1.3.3.7");
    assert_string_equal(conf.domain, "[1.3.3.7]");
    assert_string_equal(conf.myhostname, "7.3.3.1.in-addr.arpa");
    assert_string_equal(conf.mailboxes_dir, "/home/vmail/mail/1.3.3.7");
    assert_int_equal(conf.tls_mode, CM_TLS_SELF);
    cm_conf_clear(&conf);
    free(text);
}

static void test_s_era_keys_are_only_reported(void **state)
{
    (void)state;
    struct cm_conf conf = with_params("passthrough_senders = a@b.example c@d.example");
    assert_int_equal(conf.unused_count, 1);
    assert_string_equal(conf.unused[0], "params: passthrough_senders (line 3)");
    cm_conf_clear(&conf);
}

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

static void test_tls_paths_are_two(void **state)
{
    (void)state;
    assert_fails(
        MINIMAL "tls_external_cert_and_key = /a\n",
        "chatmail.ini:3: [params] tls_external_cert_and_key = \"/a\": one word; "
        "allowed: two space-separated absolute paths, certificate and key");
    assert_fails(
        MINIMAL "tls_external_cert_and_key = /a /b /c\n",
        "chatmail.ini:3: [params] tls_external_cert_and_key = \"/a /b /c\": more "
        "than two words; allowed: two space-separated absolute paths, "
        "certificate and key");
    assert_fails(
        MINIMAL "tls_external_cert_and_key = /a b\n",
        "chatmail.ini:3: [params] tls_external_cert_and_key = \"/a b\": bad path; "
        "allowed: two space-separated absolute paths, certificate and key");
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
    assert_fails(MINIMAL "max_mailbox_size = lots\n",
                 "chatmail.ini:3: [params] max_mailbox_size = \"lots\": not a size; "
                 "allowed: a whole number, then M or G, as in 500M");
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

/* ---- what is wrong, where, and what is allowed ---- */

static void test_bad_numbers(void **state)
{
    (void)state;
    assert_fails(MINIMAL "\n# nothing\nusername_min_length = nine\n",
                 "chatmail.ini:5: [params] username_min_length = \"nine\": not a whole "
                 "number; allowed: 1 to 64");
    assert_fails(MINIMAL "username_min_length = 0\n",
                 "chatmail.ini:3: [params] username_min_length = \"0\": too small; "
                 "allowed: 1 to 64");
    assert_fails(MINIMAL "username_max_length = 65\n",
                 "chatmail.ini:3: [params] username_max_length = \"65\": too large; "
                 "allowed: 1 to 64");
    assert_fails(
        MINIMAL "max_user_send_per_minute = 0\n",
        "chatmail.ini:3: [params] max_user_send_per_minute = \"0\": too small; "
        "allowed: 1 to 1000000");
    assert_fails(
        MINIMAL "max_message_size =\n",
        "chatmail.ini:3: [params] max_message_size = \"\": not a whole number; "
        "allowed: 1 to 2147483647");
    assert_fails(
        MINIMAL "max_load_1m = high\n",
        "chatmail.ini:3: [params] max_load_1m = \"high\": not a number; allowed: "
        "number; below zero refuses every new account");
    assert_fails(
        MINIMAL "max_load_1m = inf\n",
        "chatmail.ini:3: [params] max_load_1m = \"inf\": not a number; allowed: "
        "number; below zero refuses every new account");
    assert_fails(MINIMAL "delete_mails_after = 20d\n",
                 "chatmail.ini:3: [params] delete_mails_after = \"20d\": not a whole "
                 "number; allowed: 0 to 36500");
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

static void test_domains(void **state)
{
    (void)state;
    static const char *const good[] = {
        "chat.example.org",    "_chat.example", "_relay2",     "a-b.c1",
        "xn--d1acufc.example", "203.0.113.7",   "x._y.example"};
    static const char *const bad[] = {
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
    struct cm_err err = {0};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(cm_value_domain(good[i], &err), 0);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cm_value_domain(bad[i], &err) == 0) {
            fail_msg("accepted: %s", bad[i]);
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

static void test_min_above_max(void **state)
{
    (void)state;
    assert_fails(
        MINIMAL "username_min_length = 10\n",
        "chatmail.ini:3: [params] username_min_length = \"10\": "
        "username_min_length (10) is above username_max_length (9); allowed: min "
        "up to max");
    assert_fails(
        MINIMAL "username_max_length = 8\n",
        "chatmail.ini:3: [params] username_max_length = \"8\": "
        "username_min_length (9) is above username_max_length (8); allowed: min "
        "up to max");
}

static void test_typos_are_collected_with_a_hint(void **state)
{
    (void)state;
    struct cm_conf conf =
        with_params("usrname_min_length = 3\n"
                    "max_imap_conections = 5\n"
                    "colour = blue\n"
                    "[store]\nshh = x\n"
                    "[gateway edge1]\nnumber=1\naddresses=198.51.100.7\n"
                    "egres = no");
    assert_int_equal(conf.unused_count, 5);
    assert_string_equal(conf.unused[0], "params: usrname_min_length (line 3), did you "
                                        "mean username_min_length?");
    assert_string_equal(conf.unused[1], "params: max_imap_conections (line 4), did you "
                                        "mean max_imap_connections?");
    assert_string_equal(conf.unused[2], "params: colour (line 5)");
    assert_string_equal(conf.unused[3], "store: shh (line 7), did you mean ssh?");
    assert_string_equal(conf.unused[4],
                        "gateway edge1: egres (line 11), did you mean egress?");
    assert_int_equal(conf.username_min_length, 9);
    cm_conf_clear(&conf);
}

static void test_values_cannot_smuggle_lines(void **state)
{
    (void)state;
    assert_fails(MINIMAL "mailboxes_dir = /srv\n  smtpd_relay = all\n",
                 "chatmail.ini:3: [params] mailboxes_dir = \"/srv smtpd_relay = all\": "
                 "goes on in an indented line; allowed: one line");
    assert_fails(MINIMAL "acme_email = a\x01@b\n",
                 "chatmail.ini:3: [params] acme_email = \"a @b\": holds a control "
                 "character; allowed: printable text");
    assert_fails(MINIMAL "turn_socket_path = turn.socket\n",
                 "chatmail.ini:3: [params] turn_socket_path = \"turn.socket\": not an "
                 "absolute path; allowed: absolute path");
    assert_fails(MINIMAL "mtail_address = not/a/host\n",
                 "chatmail.ini:3: [params] mtail_address = \"not/a/host\": not a host; "
                 "allowed: host name or address");
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

/* ---- [store] and [gateway NAME] ---- */

#define EDGE1                                                                          \
    "[gateway edge1]\nssh = root@198.51.100.11\nnumber = 1\n"                          \
    "addresses = 198.51.100.11 2001:DB8:1:0::11\n"
#define EDGE2 "[gateway edge2]\nnumber = 2\naddresses = 203.0.113.7\n"

static void test_gateways(void **state)
{
    (void)state;
    struct cm_conf conf = must_parse(
        MINIMAL
        "[store]\nssh = root@10.9.0.2\nbus_port = 5000\n"
        "[gateway edge2]\nnumber = 2\naddresses =\n  203.0.113.7\n  2001:db8:2::7\n"
        "endpoint = edge2.example.net\nwg_port = 443\nmode = drain\negress = "
        "no\n" EDGE1);
    assert_string_equal(conf.store.ssh, "root@10.9.0.2");
    assert_int_equal(conf.store.bus_port, 5000);
    assert_int_equal(conf.store.egress, CM_EGRESS_GATEWAYS);
    assert_int_equal(conf.gateway_count, 2);

    const struct cm_conf_gateway *one = &conf.gateways[0];
    assert_string_equal(one->name, "edge1");
    assert_string_equal(one->ssh, "root@198.51.100.11");
    assert_int_equal(one->number, 1);
    assert_string_equal(one->addresses, "198.51.100.11 2001:db8:1::11");
    assert_string_equal(one->endpoint, "198.51.100.11");
    assert_int_equal(one->wg_port, 51820);
    assert_int_equal(one->mode, CM_MODE_ACTIVE);
    assert_true(one->egress);
    assert_int_equal(one->line, 15);

    const struct cm_conf_gateway *two = &conf.gateways[1];
    assert_string_equal(two->name, "edge2");
    assert_string_equal(two->ssh, "");
    assert_string_equal(two->addresses, "203.0.113.7 2001:db8:2::7");
    assert_string_equal(two->endpoint, "edge2.example.net");
    assert_int_equal(two->wg_port, 443);
    assert_int_equal(two->mode, CM_MODE_DRAIN);
    assert_false(two->egress);
    cm_conf_clear(&conf);
}

static void test_bad_gateways(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[gateway edge1]\naddresses = 198.51.100.11\n",
         "chatmail.ini:3: [gateway edge1] number: missing; allowed: 1 to 32, another "
         "one "
         "for each gateway"},
        {"[gateway edge1]\n", "chatmail.ini:3: [gateway edge1] number: missing; "
                              "allowed: 1 to 32, another one "
                              "for each gateway"},
        {"[gateway edge1]\nnumber = 1\n", "chatmail.ini:3: [gateway edge1] addresses: "
                                          "missing; allowed: up to 8 public IPv4 "
                                          "and IPv6 addresses, separated by blanks"},
        {"[gateway edge1]\nnumber = 33\n", "chatmail.ini:4: [gateway edge1] number = "
                                           "\"33\": too large; allowed: 1 to 32"},
        {EDGE1 EDGE1,
         "chatmail.ini:7: section [gateway edge1] is there twice, first on line 3; "
         "allowed: each section once"},
        {EDGE1 "[gateway edge3]\nnumber = 1\naddresses = 203.0.113.9\n",
         "chatmail.ini:8: [gateway edge3] number = \"1\": [gateway edge1] has this "
         "number "
         "on line 5; allowed: 1 to 32, another one for each gateway"},
        {EDGE1 "[gateway edge3]\nnumber = 3\naddresses = 203.0.113.9 2001:db8:1::11\n",
         "chatmail.ini:9: [gateway edge3] addresses = \"203.0.113.9 2001:db8:1::11\": "
         "[gateway edge1] has 2001:db8:1::11 too; allowed: each address at one "
         "gateway"},
        {"[gateway edge1]\naddresses = 198.51.100.300\n",
         "chatmail.ini:4: [gateway edge1] addresses = \"198.51.100.300\": "
         "198.51.100.300 is "
         "not a public address; allowed: up to 8 public IPv4 and IPv6 addresses, "
         "separated "
         "by blanks"},
        {"[gateway edge1]\naddresses = 2001:db8::1 2001:db8:0::1\n",
         "chatmail.ini:4: [gateway edge1] addresses = \"2001:db8::1 2001:db8:0::1\": "
         "2001:db8::1 is there twice; allowed: each address once"},
        {"[gateway edge1]\naddresses = 203.0.113.1 203.0.113.2 203.0.113.3 203.0.113.4 "
         "203.0.113.5 203.0.113.6 203.0.113.7 203.0.113.8 203.0.113.9\n",
         "chatmail.ini:4: [gateway edge1] addresses = \"203.0.113.1 203.0.113.2 "
         "203.0.113.3 "
         "203.0.113.4 203.0.113.5 ...\": too many addresses; allowed: up to 8 public "
         "IPv4 "
         "and IPv6 addresses, separated by blanks"},
        {"[gateway edge1]\nmode = draining\n",
         "chatmail.ini:4: [gateway edge1] mode = \"draining\": not a mode; allowed: "
         "active, "
         "drain, hold or off"},
        {"[gateway edge1]\negress = maybe\n",
         "chatmail.ini:4: [gateway edge1] egress = \"maybe\": neither yes nor no; "
         "allowed: "
         "yes or no"},
        {"[gateway edge1]\nssh = -oProxyCommand=x\n",
         "chatmail.ini:4: [gateway edge1] ssh = \"-oProxyCommand=x\": not a "
         "destination "
         "for ssh; allowed: [USER@]HOST as for ssh(1)"},
        {"[gateway edge1]\nssh = root@a; reboot\n",
         "chatmail.ini:4: [gateway edge1] ssh = \"root@a; reboot\": not a destination "
         "for "
         "ssh; allowed: [USER@]HOST as for ssh(1)"},
        {"[gateway edge1]\nendpoint = a b\n",
         "chatmail.ini:4: [gateway edge1] endpoint = \"a b\": not a host; allowed: "
         "host "
         "name or address"},
        {"[gateway]\n",
         "chatmail.ini:3: [gateway]: bad name; allowed: [gateway NAME] with "
         "a name of a-z, 0-9 and '-', at most 32"},
        {"[gateway Edge]\n", "chatmail.ini:3: [gateway Edge]: bad name; allowed: "
                             "[gateway NAME] with a name of "
                             "a-z, 0-9 and '-', at most 32"},
        {"[gatway edge1]\n", "chatmail.ini:3: unknown section [gatway edge1]; allowed: "
                             "[params], [store], [gateway NAME]"},
        {"[other]\na = b\n",
         "chatmail.ini:3: unknown section [other]; allowed: [params], "
         "[store], [gateway NAME]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = cm_asprintf(MINIMAL "%s", cases[i].text);
        assert_fails(text, cases[i].message);
        free(text);
    }
}

static void test_addresses_no_client_could_reach(void **state)
{
    (void)state;
    static const char *const bad[] = {"127.0.0.1",
                                      "0.0.0.0",
                                      "224.0.0.1",
                                      "169.254.1.1",
                                      "10.77.1.1",
                                      "::",
                                      "::1",
                                      "fe80::1",
                                      "ff02::1",
                                      "fd77:1::1",
                                      "::ffff:198.51.100.1",
                                      "edge1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *text = cm_asprintf(MINIMAL "[store]\naddresses = %s\n", bad[i]);
        struct cm_conf conf;
        struct cm_err err = {0};
        assert_int_equal(cm_conf_parse("c", text, strlen(text), &conf, &err), -1);
        assert_non_null(strstr(err.text, "is not a public address"));
        free(text);
    }
}

static void test_store_settings(void **state)
{
    (void)state;
    struct cm_conf conf =
        must_parse(MINIMAL "[store]\nregistrations = invite\nturn = no\n"
                           "transport = postfix\n"
                           "notification_url = http://[::1]:8080/notify\n"
                           "turn_port_min = 50000\nturn_port_max = 50000\n"
                           "echo_core =\ncreations_per_net = 0\n");
    assert_int_equal(conf.store.registrations, CM_REGISTRATIONS_INVITE);
    assert_string_equal(cm_registrations_name(conf.store.registrations), "invite");
    assert_int_equal(conf.store.transport, CM_TRANSPORT_POSTFIX);
    assert_false(conf.store.turn);
    assert_string_equal(conf.store.notification_url, "http://[::1]:8080/notify");
    assert_int_equal(conf.store.turn_port_max, 50000);
    assert_string_equal(conf.store.echo_core, "");
    assert_int_equal(conf.store.creations_per_net, 0);
    assert_int_equal(conf.store.creations_per_gateway, 6000);
    cm_conf_clear(&conf);
    assert_fails(MINIMAL "[store]\nturn_port_max = 49159\n",
                 "chatmail.ini:4: [store] turn_port_max = \"49159\": turn_port_min "
                 "49160 to turn_port_max 49159 is no range; allowed: 1 to 2000 ports");
    assert_fails(MINIMAL "[store]\nturn_port_min = 3000\nturn_port_max = 4000\n",
                 "chatmail.ini:5: [store] turn_port_max = \"4000\": turn_port_min "
                 "3000 to turn_port_max 4000 is no range; allowed: 1 to 2000 ports "
                 "without 3478");
    assert_fails(MINIMAL "[gateway a]\nnumber = 1\naddresses = 198.51.100.11\n"
                         "wg_port = 49200\n",
                 "chatmail.ini: [gateway a] wg_port = 49200 is a port of calls; "
                 "allowed: any but 3478 and turn_port_min to turn_port_max");
    conf = must_parse(MINIMAL "[store]\nturn = no\n[gateway a]\nnumber = 1\n"
                              "addresses = 198.51.100.11\nwg_port = 3478\n");
    cm_conf_clear(&conf);
    assert_fails(MINIMAL "[store]\nregistrations = maybe\n",
                 "chatmail.ini:4: [store] registrations = \"maybe\": not a rule for "
                 "new accounts; allowed: open, closed or invite");
    assert_fails(MINIMAL "[store]\nnotification_url = ftp://example.org/\n",
                 "chatmail.ini:4: [store] notification_url = \"ftp://example.org/\": "
                 "not a URL; allowed: URL that begins with https:// or http://");
}

static enum cm_egress egress_of(const char *text)
{
    struct cm_conf conf = must_parse(text);
    enum cm_egress egress = conf.store.egress;
    cm_conf_clear(&conf);
    return egress;
}

static void test_egress(void **state)
{
    (void)state;
    assert_int_equal(egress_of(MINIMAL EDGE1), CM_EGRESS_GATEWAYS);
    assert_int_equal(egress_of(MINIMAL EDGE1 "egress = no\n" EDGE2),
                     CM_EGRESS_GATEWAYS);
    assert_int_equal(egress_of(MINIMAL EDGE1 "egress = no\n"), CM_EGRESS_DIRECT);
    assert_int_equal(egress_of(MINIMAL "[store]\negress = all\n" EDGE1), CM_EGRESS_ALL);
    assert_int_equal(egress_of(MINIMAL "[store]\negress = direct\n" EDGE1),
                     CM_EGRESS_DIRECT);
    assert_fails(
        MINIMAL "[store]\negress = gateways\n",
        "chatmail.ini:4: [store] egress = \"gateways\": no [gateway NAME] with "
        "egress = yes; allowed without one: direct");
    assert_fails(MINIMAL "[store]\negress = some\n" EDGE1,
                 "chatmail.ini:4: [store] egress = \"some\": not a way out; allowed: "
                 "direct, gateways or all");
    assert_fails(
        MINIMAL "[store]\nbus_port = 65534\n",
        "chatmail.ini:4: [store] bus_port = \"65534\": too large; allowed: 1024 "
        "to 65533");
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(cm_mode_name(CM_MODE_HOLD), "hold");
    assert_string_equal(cm_egress_name(CM_EGRESS_ALL), "all");
    struct cm_err err = {0};
    enum cm_mode mode = CM_MODE_HOLD;
    assert_int_equal(cm_mode_parse("off", &mode, &err), 0);
    assert_int_equal(mode, CM_MODE_OFF);
    assert_int_equal(cm_mode_parse("Off", &mode, &err), -1);
    assert_int_equal(mode, CM_MODE_OFF);
}

static void test_words(void **state)
{
    (void)state;
    char words[3][64];
    assert_int_equal(cm_conf_words("", words, 3), 0);
    assert_int_equal(cm_conf_words(" \t\n ", words, 3), 0);
    assert_int_equal(cm_conf_words(" a\tbb\n ccc ", words, 3), 3);
    assert_string_equal(words[0], "a");
    assert_string_equal(words[2], "ccc");
    assert_int_equal(cm_conf_words("a b c d", words, 3), 3);
    char big[200];
    memset(big, 'w', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    assert_int_equal(cm_conf_words(big, words, 3), 1);
    assert_int_equal(strlen(words[0]), 63);
}

/* ---- the file itself ---- */

static void test_load(void **state)
{
    (void)state;
    struct cm_conf conf;
    struct cm_err err = {0};
    assert_int_equal(cm_conf_load("/nonexistent/chatmail.ini", &conf, &err), -1);
    assert_string_equal(err.text,
                        "/nonexistent/chatmail.ini does not exist; make it with "
                        "\"chatops init DOMAIN\"");
    char path[] = "/tmp/cm-conf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, MINIMAL, strlen(MINIMAL)), strlen(MINIMAL));
    assert_int_equal(cm_conf_load(path, &conf, &err), 0);
    assert_string_equal(conf.mail_domain, "chat.example.org");
    cm_conf_clear(&conf);
    assert_int_equal(write(fd, "oops\n", 5), 5);
    assert_int_equal(cm_conf_load(path, &conf, &err), -1);
    assert_memory_equal(err.text, path, strlen(path));
    assert_string_equal(err.text + strlen(path),
                        ":3: neither \"[section]\" nor \"key = value\": \"oops\"");
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minimal_file_gives_the_defaults),
        cmocka_unit_test(test_generated_file_parses_back_to_the_defaults),
        cmocka_unit_test(test_generated_comments_are_the_defaults),
        cmocka_unit_test(test_bytes_and_seconds),
        cmocka_unit_test(test_golden_files),
        cmocka_unit_test(test_generated_key_made_live_counts),
        cmocka_unit_test(test_ip_relay),
        cmocka_unit_test(test_s_era_keys_are_only_reported),
        cmocka_unit_test(test_numbers_are_read),
        cmocka_unit_test(test_tls_modes),
        cmocka_unit_test(test_tls_paths_are_two),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_ipv4_recognition),
        cmocka_unit_test(test_upstreams_bools),
        cmocka_unit_test(test_set_and_empty_differ_from_unset),
        cmocka_unit_test(test_bad_numbers),
        cmocka_unit_test(test_value_int),
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_missing_domain),
        cmocka_unit_test(test_min_above_max),
        cmocka_unit_test(test_typos_are_collected_with_a_hint),
        cmocka_unit_test(test_values_cannot_smuggle_lines),
        cmocka_unit_test(test_long_values_are_cut_in_messages),
        cmocka_unit_test(test_gateways),
        cmocka_unit_test(test_bad_gateways),
        cmocka_unit_test(test_addresses_no_client_could_reach),
        cmocka_unit_test(test_store_settings),
        cmocka_unit_test(test_egress),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
