#include "ini_edit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char ini[] = "# mine\n[params]\nmail_domain = _chat.example\n"
                          "[store]\nssh = root@10.9.0.2  \n";

static void test_text_is_kept(void **state)
{
    struct op_new_gateway gw = {.name = "edge1",
                                .ssh = "root@198.51.100.11",
                                .addresses = "198.51.100.11 2001:db8::1",
                                .number = 1};
    struct cm_conf conf;
    struct cm_err err = {.text = ""};
    char *text = op_ini_with_gateway(ini, &gw);

    (void)state;
    assert_int_equal(strncmp(text, ini, strlen(ini)), 0);
    if (cm_conf_parse("x.ini", text, strlen(text), &conf, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(conf.gateway_count, 1);
    assert_string_equal(conf.gateways[0].name, "edge1");
    assert_string_equal(conf.gateways[0].ssh, "root@198.51.100.11");
    assert_int_equal(conf.gateways[0].number, 1);
    assert_int_equal(op_free_number(&conf, ""), 2);
    assert_int_equal(op_free_number(&conf, "2 edge2\n4 old\n"), 3);
    assert_int_equal(op_free_number(&conf, "2 a\n3 b\n4 old"), 5);
    cm_conf_clear(&conf);
    /* the same again is a double name */
    char *twice = op_ini_with_gateway(text, &gw);
    assert_int_equal(cm_conf_parse("x.ini", twice, strlen(twice), &conf, &err), -1);
    free(twice);
    free(text);
}

static void test_without_ssh(void **state)
{
    struct op_new_gateway gw = {.name = "e",
                                .addresses = "198.51.100.11",
                                .number = 7,
                                .wg_public_key =
                                    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                                .agentless = true};
    struct cm_conf conf;
    struct cm_err err = {.text = ""};
    char *text = op_ini_with_gateway(ini, &gw);

    (void)state;
    assert_int_equal(cm_conf_parse("x.ini", text, strlen(text), &conf, &err), 0);
    assert_string_equal(conf.gateways[0].ssh, "");
    assert_string_equal(conf.gateways[0].wg_public_key, gw.wg_public_key);
    assert_false(conf.gateways[0].agent);
    cm_conf_clear(&conf);
    free(text);
}

static void test_last_line_without_newline(void **state)
{
    struct op_new_gateway gw = {
        .name = "e", .ssh = "root@h", .addresses = "198.51.100.11", .number = 7};
    char *text = op_ini_with_gateway("[params]\nmail_domain = x.example", &gw);

    (void)state;
    assert_string_equal(text, "[params]\nmail_domain = x.example\n\n[gateway e]\n"
                              "ssh = root@h\nnumber = 7\naddresses = 198.51.100.11\n");
    free(text);
}

static void test_addresses(void **state)
{
    char *found = op_public_addresses(
        "2: eth0    inet6 2001:db8:1::11/64 scope global \\ valid_lft forever\n"
        "2: eth0    inet6 2001:db8:1::99/64 scope global temporary dynamic \\ x\n"
        "2: eth0    inet6 fd00::2/64 scope global \\ x\n"
        "2: eth0    inet 198.51.100.11/24 brd 198.51.100.255 scope global eth0\\ x\n"
        "2: eth0    inet 10.0.0.4/24 scope global eth0\\ x\n"
        "3: wg0    inet 203.0.113.1/32 scope global wg0\\ x\n");

    (void)state;
    assert_string_equal(found, "198.51.100.11 2001:db8:1::11");
    free(found);
    found = op_public_addresses("");
    assert_string_equal(found, "");
    free(found);
    assert_false(op_is_public_address("100.100.0.1"));
    assert_false(op_is_public_address("172.31.0.1"));
    assert_true(op_is_public_address("172.32.0.1"));
    assert_false(op_is_public_address("fe80::1"));
    assert_false(op_is_public_address("nonsense"));
}

static void check_value(const char *before, const char *value, const char *after)
{
    struct cm_err err;
    char *text = NULL;
    assert_int_equal(
        op_ini_with_value(before, "store", "registrations", value, &text, &err), 0);
    assert_string_equal(text, after);
    free(text);
}

static void test_value(void **state)
{
    (void)state;
    /* in place of the one that is there */
    check_value("[store]\nregistrations=open \n# x\n[gateway e]\n", "closed",
                "[store]\nregistrations = closed\n# x\n[gateway e]\n");
    check_value("[store]\nregistrations = open", "closed",
                "[store]\nregistrations = closed\n");
    /* behind its comment, within the section */
    check_value("[params]\n# registrations = x\n[store]\n# a\n#registrations = open\n"
                "\nssh = h\n",
                "invite",
                "[params]\n# registrations = x\n[store]\n# a\n#registrations = open\n"
                "registrations = invite\n\nssh = h\n");
    /* at the beginning of the section, or in a new one */
    check_value("[store]\nssh = h\n[gateway e]\n# registrations = open\n", "invite",
                "[store]\nregistrations = invite\nssh = h\n[gateway e]\n"
                "# registrations = open\n");
    check_value("[store]", "open", "[store]\nregistrations = open\n");
    check_value("[params]\nmail_domain = x", "open",
                "[params]\nmail_domain = x\n\n[store]\nregistrations = open\n");
    /* away, and nothing else */
    check_value("[store]\nregistrations = open\nssh = h\n", NULL, "[store]\nssh = h\n");
    check_value("[store]\n# registrations = open\n", NULL,
                "[store]\n# registrations = open\n");
    check_value("[params]\n", NULL, "[params]\n");
}

static void test_value_in_generated_text(void **state)
{
    (void)state;
    struct cm_err err;
    struct cm_conf conf;
    char *fresh = cm_conf_default_text("chat.example.org"), *set = NULL, *unset = NULL;
    assert_int_equal(
        op_ini_with_value(fresh, "store", "registrations", "invite", &set, &err), 0);
    assert_int_equal(cm_conf_parse("x.ini", set, strlen(set), &conf, &err), 0);
    assert_int_equal(conf.store.registrations, CM_REGISTRATIONS_INVITE);
    cm_conf_clear(&conf);
    assert_non_null(strstr(set, "# registrations = open\nregistrations = invite\n"));
    assert_int_equal(
        op_ini_with_value(set, "store", "registrations", NULL, &unset, &err), 0);
    assert_string_equal(unset, fresh);
    assert_int_equal(op_ini_with_value("nonsense", "store", "x", "y", &set, &err), -1);
    free(fresh);
    free(set);
    free(unset);
}

static void check_without(const char *before, const char *after)
{
    struct cm_err err;
    char *text = NULL;
    assert_int_equal(op_ini_without_section(before, "gateway e", &text, &err), 0);
    assert_string_equal(text, after);
    free(text);
}

static void test_section_goes(void **state)
{
    struct op_new_gateway gw = {
        .name = "e", .ssh = "root@h", .addresses = "198.51.100.11", .number = 7};
    struct cm_err err;

    (void)state;
    check_without("[a]\nx = 1\n\n[gateway e]\n# its\nssh = h\n\n# of b\n[b]\ny = 2\n",
                  "[a]\nx = 1\n\n# of b\n[b]\ny = 2\n");
    check_without("[gateway e]\nssh = h\n[b]\n", "[b]\n");
    check_without("[gateway e]\n[gateway f]\n", "[gateway f]\n");
    check_without("[a]\n\n[gateway e]\nssh = h", "[a]\n");
    check_without("[gateway  e]\nssh = h\n", "");
    check_without("[a]\n[gateway f]\n", "[a]\n[gateway f]\n");
    /* what gateway add put there goes without a trace */
    char *text = op_ini_with_gateway(ini, &gw);
    check_without(text, ini);
    free(text);
    assert_int_equal(op_ini_without_section("nonsense", "x", &text, &err), -1);
}

static void test_has(void **state)
{
    (void)state;
    assert_true(op_ini_has("[a]\nx = 1\n", "a", NULL));
    assert_true(op_ini_has("[a]\nx = 1\n", "a", "x"));
    assert_false(op_ini_has("[a]\n# x = 1\n[b]\nx = 1\n", "a", "x"));
    assert_false(op_ini_has("[a]\n", "b", NULL));
    assert_false(op_ini_has("nonsense", "a", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_kept),
        cmocka_unit_test(test_without_ssh),
        cmocka_unit_test(test_last_line_without_newline),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_value),
        cmocka_unit_test(test_section_goes),
        cmocka_unit_test(test_has),
        cmocka_unit_test(test_value_in_generated_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
