/* PORTICO_GOLDEN_UPDATE=1 makes the golden tests write what they would compare with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/mem.h"
#include "embed.h"
#include "stack.h"

#define GOLDEN_MAX (1024 * 1024)

#define TWO_GATEWAYS                                                                   \
    "[params]\nmail_domain = _chat.example\n"                                          \
    "[store]\nssh = root@10.9.0.2\n"                                                   \
    "[gateway edge1]\nssh = root@198.51.100.11\nnumber = 1\n"                          \
    "addresses = 198.51.100.11 2001:db8:1::11\n"                                       \
    "[gateway edge2]\nssh = root@203.0.113.12\nnumber = 2\n"                           \
    "addresses = 203.0.113.12 2001:db8:1::12\nwg_port = 51821\n"

static const struct op_facts ordinary = {.ipv6 = true};

static struct cm_conf parse(const char *text)
{
    struct cm_conf conf = {0};
    struct cm_err err = {0};

    if (cm_conf_parse("chatmail.ini", text, strlen(text), &conf, &err) < 0)
        fail_msg("%s", err.text);
    return conf;
}

static struct op_files store_files(const char *ini, const struct op_facts *facts)
{
    struct cm_conf conf = parse(ini);
    struct op_files files = {0};
    struct cm_err err = {0};

    if (op_stack_store(&conf, facts, &files, &err) < 0)
        fail_msg("%s", err.text);
    cm_conf_clear(&conf);
    return files;
}

static const struct op_file *find(const struct op_files *files, const char *path)
{
    for (size_t i = 0; i < files->count; i++) {
        if (strcmp(files->items[i].path, path) == 0)
            return &files->items[i];
    }
    return NULL;
}

static const char *content(const struct op_files *files, const char *path)
{
    const struct op_file *file = find(files, path);

    if (file == NULL)
        fail_msg("%s is not rendered", path);
    return file->content;
}

/* All files of a node in one text, so that a golden file reads as what the node gets.
 */
static char *bundle(const struct op_files *files)
{
    struct cm_buf out;

    cm_buf_init(&out, GOLDEN_MAX);
    for (size_t i = 0; i < files->count; i++) {
        const struct op_file *f = &files->items[i];
        assert_int_equal(f->len, strlen(f->content));
        cm_buf_fmt(&out, "==> %s %s %04o %s\n%s", f->path, f->owner, (unsigned)f->mode,
                   f->unit != NULL ? f->unit : "-", f->content);
    }
    assert_false(out.overflow);
    return cm_buf_steal(&out);
}

static void compare(const char *name, const char *got)
{
    char path[4096];
    char *want = NULL;
    size_t len = 0;
    struct cm_err err = {0};

    snprintf(path, sizeof(path), "%s/stack/%s.txt", getenv("PORTICO_TESTDATA_DIR"),
             name);
    if (getenv("PORTICO_GOLDEN_UPDATE") != NULL) {
        assert_int_equal(cm_file_replace(path, got, strlen(got), 0644, &err), 0);
        return;
    }
    if (cm_file_read(path, GOLDEN_MAX, &want, &len, &err) != 1)
        fail_msg("cannot read %s: %s", path, err.text);
    assert_string_equal(got, want);
    free(want);
}

static void golden_store(const char *name, const char *ini)
{
    struct op_files files = store_files(ini, &ordinary);
    char *got = bundle(&files);

    compare(name, got);
    free(got);
    op_files_clear(&files);
}

/* edge1 is a proxy that keeps addresses, edge2 one that cannot. */
static void test_golden_proxied(void **state)
{
    (void)state;
    golden_store("store-proxied",
                 TWO_GATEWAYS "data_plane = proxy\nproxy_protocol = yes\n");
}

static void test_proxied_without_ipv6(void **state)
{
    (void)state;
    struct op_facts facts = ordinary;
    facts.ipv6 = false;
    struct op_files files =
        store_files(TWO_GATEWAYS "agent = no\nproxy_protocol = yes\n", &facts);
    const char *text = content(&files, "/etc/nginx/nginx.conf");
    assert_non_null(strstr(text, "listen 10.77.2.2:12443 proxy_protocol"));
    assert_null(strstr(text, "fd77"));
    assert_null(strstr(text, "10.77.1."));
    op_files_clear(&files);
}

static void test_golden_two_gateways(void **state)
{
    (void)state;
    golden_store("store-two-gateways", TWO_GATEWAYS);
}

static void test_golden_no_gateway(void **state)
{
    (void)state;
    golden_store("store-alone", "[params]\nmail_domain = chat.example.org\n"
                                "privacy_mail = privacy@example.org\n"
                                "max_imap_connections = 30000\n"
                                "max_mailbox_size = 2G\n"
                                "imap_compress = true\n");
}

static void test_golden_external(void **state)
{
    (void)state;
    golden_store("store-external",
                 "[params]\nmail_domain = chat.example.org\ndisable_ipv6 = true\n"
                 "imap_rawlog = true\n"
                 "tls_external_cert_and_key = /etc/tls/full.pem /etc/tls/key.pem\n");
}

static void test_golden_ip(void **state)
{
    (void)state;
    golden_store("store-ip", "[params]\nmail_domain = 198.51.100.7\n");
}

static void test_golden_gateway(void **state)
{
    struct cm_conf conf = parse(TWO_GATEWAYS);
    struct op_facts facts = {
        .ipv6 = true,
        .cluster_key = "Y2x1c3RlcmtleWNsdXN0ZXJrZXljbHVzdGVya2V5MDA=",
        .store_wg_key = "c3RvcmVrZXlzdG9yZWtleXN0b3Jla2V5c3RvcmUwMDA=",
    };
    struct op_files files = {0};
    struct cm_err err = {0};

    (void)state;
    if (op_stack_gateway(&conf, &conf.gateways[1], &facts, &files, &err) < 0)
        fail_msg("%s", err.text);
    char *got = bundle(&files);
    compare("gateway-edge2", got);
    free(got);
    op_files_clear(&files);
    cm_conf_clear(&conf);
}

static void test_gateway_needs_keys(void **state)
{
    struct cm_conf conf = parse(TWO_GATEWAYS);
    struct op_files files = {0};
    struct cm_err err = {0};

    (void)state;
    assert_int_equal(
        op_stack_gateway(&conf, &conf.gateways[0], &ordinary, &files, &err), -1);
    assert_int_equal(err.kind, CM_ERR_WORLD);
    assert_non_null(strstr(err.text, "edge1"));
    assert_null(files.items);
    cm_conf_clear(&conf);
}

/* What signs without judging is for what Postfix makes itself, and no macro decides. */
static void test_port_25_is_never_signed(void **state)
{
    struct op_files files = store_files(TWO_GATEWAYS, &ordinary);
    const char *main_cf = content(&files, "/etc/postfix/main.cf");
    const char *master = content(&files, "/etc/postfix/master.cf");
    const char *port25 = strstr(master, "\nsmtp       inet");
    const char *next = strstr(master, "\nsubmission inet");

    (void)state;
    assert_null(strstr(main_cf, "milter_macro_daemon_name"));
    assert_null(strstr(master, "milter_macro_daemon_name"));
    assert_null(strstr(master, "filter-sign"));
    assert_non_null(
        strstr(main_cf, "\nnon_smtpd_milters = unix:private/filter-sign\n"));
    assert_null(strstr(main_cf, "\nsmtpd_milters"));
    assert_non_null(port25);
    assert_non_null(next);
    char *service = cm_strndup(port25, (size_t)(next - port25));
    assert_non_null(strstr(service, "smtpd_milters=unix:private/filter-in"));
    assert_null(strstr(service, "sasl"));
    free(service);
    op_files_clear(&files);
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    while ((text = strstr(text, what)) != NULL) {
        text += strlen(what);
        n++;
    }
    return n;
}

/* No smtpd is without its milter, and each has but one. */
static void test_no_mail_goes_past_the_filter(void **state)
{
    static const char *const inis[] = {TWO_GATEWAYS,
                                       "[params]\nmail_domain = 198.51.100.7\n"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct op_files files = store_files(inis[i], &ordinary);
        const char *master = content(&files, "/etc/postfix/master.cf");
        assert_int_equal(count(master, " smtpd\n"), 5);
        assert_int_equal(count(master, "smtpd_milters=unix:private/filter-in\n"), 2);
        assert_int_equal(count(master, "smtpd_milters=unix:private/filter-out\n"), 3);
        assert_int_equal(count(master, "cleanup_service_name=submitted\n"), 3);
        /* Our own Received stays here, whichever way the message leaves. */
        assert_int_equal(count(master, "lmtp_header_checks=regexp:/etc/postfix/"
                                       "smtp_header_checks\n"),
                         1);
        assert_non_null(strstr(content(&files, "/etc/postfix/main.cf"),
                               "\nsmtp_header_checks = regexp:/etc/postfix/"
                               "smtp_header_checks\n"));
        assert_int_equal(count(master, "_milters="), 5);
        op_files_clear(&files);
    }
}

static void test_no_ipv6_means_no_ipv6_sockets(void **state)
{
    struct op_facts facts = {.ipv6 = false};
    struct op_files files = store_files(TWO_GATEWAYS, &facts);

    (void)state;
    assert_null(strstr(content(&files, "/etc/nginx/nginx.conf"), "[::]"));
    assert_null(strstr(content(&files, "/etc/postfix/main.cf"), "[::1]"));
    assert_non_null(
        strstr(content(&files, "/etc/postfix/main.cf"), "\ninet_protocols = ipv4\n"));
    assert_non_null(
        strstr(content(&files, "/etc/dovecot/dovecot.conf"), "\nlisten = 0.0.0.0\n"));
    op_files_clear(&files);
}

static void test_container_sets_only_net(void **state)
{
    struct op_facts facts = {.ipv6 = true, .container = true};
    struct op_files files = store_files(TWO_GATEWAYS, &facts);
    const char *sysctl = content(&files, "/etc/sysctl.d/60-chatmail.conf");

    (void)state;
    assert_null(strstr(sysctl, "\nfs."));
    assert_null(strstr(sysctl, "\nvm."));
    assert_non_null(strstr(sysctl, "\nnet."));
    op_files_clear(&files);
}

static void test_own_pages_are_left_alone(void **state)
{
    struct op_files files = store_files(
        "[params]\nmail_domain = chat.example.org\nwww_folder = disabled\n", &ordinary);

    (void)state;
    assert_null(find(&files, "/var/www/html/index.html"));
    assert_non_null(find(&files, "/var/www/html/.well-known/mta-sts.txt"));
    op_files_clear(&files);
}

static void test_tiny_limits_stay_limits(void **state)
{
    struct op_files files = store_files(
        "[params]\nmail_domain = chat.example.org\nmax_smtp_connections = 3\n",
        &ordinary);

    (void)state;
    assert_non_null(strstr(content(&files, "/etc/postfix/master.cf"),
                           "smtpd_client_connection_count_limit=1\n"));
    op_files_clear(&files);
}

static void refuse(const char *line, const char *key)
{
    char *ini = cm_asprintf("[params]\nmail_domain = chat.example.org\n%s\n", line);
    struct cm_conf conf = parse(ini);
    struct op_files files = {0};
    struct cm_err err = {0};

    assert_int_equal(op_stack_store(&conf, &ordinary, &files, &err), -1);
    assert_int_equal(err.kind, CM_ERR_WORLD);
    assert_non_null(strstr(err.text, key));
    assert_null(files.items);
    cm_conf_clear(&conf);
    free(ini);
}

static void test_nothing_can_be_injected(void **state)
{
    (void)state;
    refuse("privacy_mail = a@example.org\n  ssl = no", "privacy_mail");
    refuse("mailboxes_dir = /home/vmail/my mail", "mailboxes_dir");
    refuse("tls_external_cert_and_key = /a;b /c", "tls_external_cert_and_key");
}

/* Who writes mail must find it wherever it is; the units themselves do not say. */
static void test_mailboxes_elsewhere(void **state)
{
    struct op_files files = store_files(
        "[params]\nmail_domain = chat.example.org\nmailboxes_dir = /srv/mail\n",
        &ordinary);

    (void)state;
    assert_non_null(
        strstr(content(&files, "/etc/systemd/system/chatmail-expire.service.d/"
                               "chatmail.conf"),
               "\n[Service]\nReadWritePaths=-/srv/mail\n"));
    assert_non_null(strstr(content(&files, "/etc/dovecot/dovecot.conf"),
                           "\nmail_location = maildir:/srv/mail/%u\n"));
    assert_non_null(
        strstr(content(&files, "/etc/systemd/system/dovecot.service.d/chatmail.conf"),
               " -m 0700 /srv/mail\n"));
    op_files_clear(&files);
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The default start limit would leave one dead that is killed five times, or that ends
 * itself while the disk is full. */
static void test_stock_daemons_come_back(void **state)
{
    struct op_files files = store_files(TWO_GATEWAYS, &ordinary);
    unsigned n = 0;

    (void)state;
    for (const struct op_unit *u = op_store_units; u->name != NULL; u++) {
        if (starts(u->name, "chatmail-") || starts(u->name, "systemd-"))
            continue;
        char *path = cm_asprintf("/etc/systemd/system/%s.d/chatmail.conf", u->name);
        const char *text = content(&files, path);
        assert_non_null(strstr(text, "\nStartLimitIntervalSec=0\n"));
        assert_non_null(strstr(text, "\nRestart="));
        free(path);
        n++;
    }
    assert_int_equal(n, 5);
    op_files_clear(&files);
}

static bool in_table(const struct op_unit *units, const char *name)
{
    for (; units->name != NULL; units++) {
        if (strcmp(units->name, name) == 0)
            return true;
    }
    return false;
}

static void test_every_unit_is_in_the_table(void **state)
{
    struct op_files files = store_files(TWO_GATEWAYS, &ordinary);
    struct cm_conf conf = parse(TWO_GATEWAYS);
    struct op_unit *units = op_stack_units(&conf);

    (void)state;
    for (size_t i = 0; i < files.count; i++) {
        if (files.items[i].unit != NULL && !in_table(units, files.items[i].unit))
            fail_msg("%s: unknown unit %s", files.items[i].path, files.items[i].unit);
    }
    free(units);
    cm_conf_clear(&conf);
    op_files_clear(&files);
}

static void test_units_follow_the_settings(void **state)
{
    struct cm_conf conf = parse(TWO_GATEWAYS);
    struct op_unit *units = op_stack_units(&conf);

    (void)state;
    assert_true(in_table(units, "chatmail-filter-sign.service"));
    assert_true(in_table(units, "chatmail-filter-sign.socket"));
    assert_true(in_table(units, "chatmail-turn@1.service"));
    assert_true(in_table(units, "chatmail-turn@2.service"));
    assert_false(in_table(units, "chatmail-turn@0.service"));
    free(units);
    cm_conf_clear(&conf);
    conf = parse("[params]\nmail_domain = 198.51.100.7\n"
                 "[store]\naddresses = 198.51.100.7\nturn = yes\n");
    units = op_stack_units(&conf);
    assert_false(in_table(units, "chatmail-filter-sign.service"));
    assert_false(in_table(units, "chatmail-filter-sign.socket"));
    assert_true(in_table(units, "chatmail-turn@0.service"));
    free(units);
    cm_conf_clear(&conf);
}

static void test_echo_is_optional(void **state)
{
    struct cm_conf conf = parse(TWO_GATEWAYS);
    struct op_unit *units = op_stack_units(&conf);

    (void)state;
    assert_false(in_table(units, "chatmail-echo.service"));
    assert_false(in_table(units, "chatmail-dns.service"));
    free(units);
    cm_conf_clear(&conf);
    conf = parse("[params]\nmail_domain = chat.example.org\n"
                 "[store]\necho_core = /usr/local/bin/deltachat-rpc-server\n"
                 "dns_follow = yes\n");
    units = op_stack_units(&conf);
    assert_true(in_table(units, "chatmail-echo.service"));
    assert_true(in_table(units, "chatmail-dns.service"));
    free(units);
    cm_conf_clear(&conf);
}

static void test_no_turn_means_no_turn(void **state)
{
    const char *ini = "[params]\nmail_domain = _chat.example\n[store]\nturn = no\n"
                      "[gateway edge1]\nnumber = 1\naddresses = 198.51.100.11\n";
    struct cm_conf conf = parse(ini);
    struct op_files files = store_files(ini, &ordinary);
    struct op_unit *units = op_stack_units(&conf);

    (void)state;
    for (size_t i = 0; i < files.count; i++)
        assert_null(strstr(files.items[i].path, "turn"));
    assert_null(strstr(content(&files, "/etc/sysctl.d/60-chatmail.conf"), "reserved"));
    assert_false(in_table(units, "chatmail-turn@1.service"));
    free(units);
    op_files_clear(&files);
    cm_conf_clear(&conf);
}

/* A gateway of one family is listened to in that family alone; a store of its own
 * leaves the addresses to the start script. */
static void test_turn_addresses(void **state)
{
    struct op_files files = store_files(
        "[params]\nmail_domain = _chat.example\n"
        "[gateway edge7]\nnumber = 7\naddresses = 203.0.113.12 203.0.113.13\n",
        &ordinary);
    const char *text = content(&files, "/etc/chatmail/turn/7.conf");

    (void)state;
    assert_non_null(strstr(text, "\nlistening-ip=10.77.7.2\n"
                                 "external-ip=203.0.113.12/10.77.7.2\nmin-port="));
    op_files_clear(&files);
    files = store_files("[params]\nmail_domain = _chat.example\n"
                        "[store]\naddresses = 203.0.113.12 2001:db8:1::12\n",
                        &ordinary);
    text = content(&files, "/etc/chatmail/turn/0.conf");
    assert_non_null(strstr(text, "\npublic=203.0.113.12\npublic=2001:db8:1::12\n"));
    assert_null(strstr(text, "listening-ip"));
    op_files_clear(&files);
}

/* Outside comments no hole is left and no line is glued to the next. */
static void test_files_are_whole(void **state)
{
    struct op_files files = store_files(TWO_GATEWAYS, &ordinary);

    (void)state;
    for (size_t i = 0; i < files.count; i++) {
        const char *text = files.items[i].content;
        size_t len = strlen(text);
        assert_true(len > 0 && text[len - 1] == '\n');
        assert_null(strstr(text, "{{"));
    }
    op_files_clear(&files);
}

static size_t gateway_file_count(void)
{
    struct cm_conf conf = parse(TWO_GATEWAYS);
    struct op_facts facts = {.cluster_key = "a", .store_wg_key = "b"};
    struct op_files files = {0};
    struct cm_err err = {0};

    assert_int_equal(op_stack_gateway(&conf, &conf.gateways[0], &facts, &files, &err),
                     0);
    size_t count = files.count;
    op_files_clear(&files);
    cm_conf_clear(&conf);
    return count;
}

/* A template that no node gets would be carried along for nothing. journald.conf goes
 * to both kinds of node, that of turn is rendered for each gateway, proxied.cf goes
 * into master.cf, enrol.sh (enrol_text.c) makes the files of one that comes by
 * invite, and tls-path.conf is for an external certificate only. */
static void test_embedded_table(void **state)
{
    struct op_files store = store_files(TWO_GATEWAYS, &ordinary);
    size_t n = 0;

    (void)state;
    for (const struct op_embedded *e = op_embedded; e->name != NULL; e++, n++) {
        assert_int_equal(strlen(e->data), e->len);
        if (n > 0)
            assert_true(strcmp(op_embedded[n - 1].name, e->name) < 0);
    }
    assert_int_equal(n, store.count - 1 + gateway_file_count() - 1 + 3);
    op_files_clear(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_two_gateways),
        cmocka_unit_test(test_golden_proxied),
        cmocka_unit_test(test_proxied_without_ipv6),
        cmocka_unit_test(test_golden_no_gateway),
        cmocka_unit_test(test_golden_external),
        cmocka_unit_test(test_golden_ip),
        cmocka_unit_test(test_golden_gateway),
        cmocka_unit_test(test_gateway_needs_keys),
        cmocka_unit_test(test_port_25_is_never_signed),
        cmocka_unit_test(test_no_mail_goes_past_the_filter),
        cmocka_unit_test(test_no_ipv6_means_no_ipv6_sockets),
        cmocka_unit_test(test_container_sets_only_net),
        cmocka_unit_test(test_own_pages_are_left_alone),
        cmocka_unit_test(test_tiny_limits_stay_limits),
        cmocka_unit_test(test_nothing_can_be_injected),
        cmocka_unit_test(test_mailboxes_elsewhere),
        cmocka_unit_test(test_stock_daemons_come_back),
        cmocka_unit_test(test_every_unit_is_in_the_table),
        cmocka_unit_test(test_units_follow_the_settings),
        cmocka_unit_test(test_echo_is_optional),
        cmocka_unit_test(test_no_turn_means_no_turn),
        cmocka_unit_test(test_turn_addresses),
        cmocka_unit_test(test_files_are_whole),
        cmocka_unit_test(test_embedded_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
