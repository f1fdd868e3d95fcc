#include "zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void names(void **state)
{
    (void)state;
    assert_true(zone_name_ok("_chat.example"));
    assert_true(zone_name_ok("."));
    assert_true(zone_name_ok("8.b.d.0.1.0.0.2.ip6.arpa"));
    assert_false(zone_name_ok(""));
    assert_false(zone_name_ok("../etc/passwd"));
    assert_false(zone_name_ok("a..b"));
    assert_false(zone_name_ok("example."));
    assert_false(zone_name_ok("a b"));
    assert_false(zone_name_ok("a\"b"));
}

static void head_is_added(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 4096);
    zone_text("_chat.example", 7, "_chat.example. A 198.51.100.11", &b);
    assert_string_equal(b.data, "$ORIGIN _chat.example.\n$TTL 60\n"
                                "@ IN SOA ns.lab.example. hostmaster.lab.example. "
                                "7 3600 600 86400 1\n@ IN NS ns.lab.example.\n"
                                "_chat.example. A 198.51.100.11\n");
    cm_buf_clear(&b);
}

static void own_soa_is_kept(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 4096);
    zone_text("x.example", 7, "@ 60 IN SOA a. b. 1 2 3 4 5\n@ NS a.\n", &b);
    assert_null(strstr(b.data, "ns.lab.example."));
    cm_buf_reset(&b);
    zone_text("x.example", 7, "a TXT x ; no SOA here\nsoap A 1.2.3.4\n", &b);
    assert_non_null(strstr(b.data, "@ IN SOA ns.lab.example."));
    cm_buf_clear(&b);
}

static const struct zone_builtin *builtin(const char *name)
{
    for (const struct zone_builtin *z = zone_builtins; z->name; z++)
        if (strcmp(z->name, name) == 0)
            return z;
    fail_msg("no zone %s", name);
    return NULL;
}

static void reverse_zones_hold_their_own_addresses(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 65536);
    builtin("113.0.203.in-addr.arpa")->records("113.0.203.in-addr.arpa", &b);
    assert_non_null(strstr(b.data, "12.113.0.203.in-addr.arpa. PTR _chat.example.\n"));
    assert_non_null(
        strstr(b.data, "25.113.0.203.in-addr.arpa. PTR _relay2.example.\n"));
    assert_null(strstr(b.data, "198"));
    cm_buf_reset(&b);
    builtin("8.b.d.0.1.0.0.2.ip6.arpa")->records("8.b.d.0.1.0.0.2.ip6.arpa", &b);
    assert_non_null(strstr(b.data, "1.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0."
                                   "8.b.d.0.1.0.0.2.ip6.arpa. PTR _chat.example.\n"));
    cm_buf_clear(&b);
}

static void every_node_has_a_name(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 65536);
    builtin("lab.example")->records("lab.example", &b);
    assert_non_null(strstr(b.data, "store A 10.9.0.2\n"));
    assert_non_null(strstr(b.data, "client AAAA 2001:db8:4::101\n"));
    assert_null(strstr(b.data, "store AAAA"));
    cm_buf_reset(&b);
    builtin("example")->records("example", &b);
    assert_non_null(strstr(b.data, "_chat.example. NS ns.lab.example.\n"));
    assert_null(strstr(b.data, "\nexample. NS"));
    cm_buf_clear(&b);
}

static void root_has_a_file_name(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 512);
    zone_file_name(".", &b);
    assert_string_equal(b.data, "root.zone");
    cm_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(head_is_added),
        cmocka_unit_test(own_soa_is_kept),
        cmocka_unit_test(reverse_zones_hold_their_own_addresses),
        cmocka_unit_test(every_node_has_a_name),
        cmocka_unit_test(root_has_a_file_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
