/* chatmail.ini as a whole: defaults, the generated file, unknown keys, loading. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "conftest.h"

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
    assert_int_equal(cm_conf_reload(path, &conf, &err), 0); /* into nothing */
    assert_int_equal(cm_conf_reload(path, &conf, &err), 0); /* into what it read */
    const char *kept = conf.mail_domain;
    assert_int_equal(write(fd, "oops\n", 5), 5);
    assert_int_equal(cm_conf_load(path, &conf, &err), -1);
    assert_memory_equal(err.text, path, strlen(path));
    assert_string_equal(err.text + strlen(path),
                        ":3: neither \"[section]\" nor \"key = value\": \"oops\"");
    assert_int_equal(cm_conf_reload(path, &conf, &err), -1);
    assert_ptr_equal(conf.mail_domain, kept);
    cm_conf_clear(&conf);
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
        cmocka_unit_test(test_typos_are_collected_with_a_hint),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
