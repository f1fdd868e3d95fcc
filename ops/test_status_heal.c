#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "status_heal.h"

static void assert_woken(const char *json, const char *want, const char *wrong)
{
    char text[256];
    json_t *g = json_loads(json, 0, NULL);
    assert_non_null(g);
    assert_int_equal(op_heal_woken(g, text, sizeof(text)), strlen(want));
    assert_string_equal(text, want);
    assert_string_equal(op_heal_woken_wrong(g), wrong);
    json_decref(g);
}

static void woken(void **state)
{
    (void)state;
    assert_woken("{\"name\":\"edge1\",\"woken\":null}", "", "");
    assert_woken("{\"name\":\"edge1\"}", "", "");
    assert_woken("{\"name\":\"edge1\",\"woken\":{\"accounts\":12,\"rung\":12,"
                 "\"ago_s\":40,\"why\":\"\"}}",
                 "edge1 fell silent 40 s ago: the phones of 12 accounts were woken",
                 "");
    assert_woken("{\"name\":\"edge1\",\"woken\":{\"accounts\":2,\"rung\":1,"
                 "\"ago_s\":600,\"why\":\"chatmail-push is not told\"}}",
                 "edge1 fell silent 10 min ago: the phones of 1 account were woken",
                 "chatmail-push is not told");
    assert_woken("{\"name\":\"edge1\",\"woken\":{\"accounts\":2,\"rung\":2,"
                 "\"ago_s\":90000,\"why\":\"\"}}",
                 "", "");
}

static void untold(void **state)
{
    (void)state;
    static const char ini[] =
        "[params]\nmail_domain = chat.example.org\n"
        "[gateway edge1]\nnumber = 1\naddresses = 198.51.100.11\n"
        "[gateway edge2]\nnumber = 2\naddresses = 203.0.113.12\ndata_plane = proxy\n"
        "[gateway edge3]\nnumber = 3\naddresses = 203.0.113.13\ndata_plane = kernel\n"
        "[gateway edge4]\nnumber = 4\naddresses = 203.0.113.14\n"
        "[gateway edge5]\nnumber = 5\naddresses = 203.0.113.15\n";
    json_t *cluster = json_loads(
        "{\"gateways\":[{\"name\":\"edge1\",\"carried\":false,\"agent\":true},"
        "{\"name\":\"edge2\",\"carried\":false,\"agent\":true},"
        "{\"name\":\"edge3\",\"carried\":null,\"agent\":false},"
        "{\"name\":\"edge4\",\"carried\":true,\"agent\":true},"
        "{\"name\":\"edge5\",\"carried\":null,\"agent\":true}]}",
        0, NULL);
    assert_non_null(cluster);
    struct cm_conf conf;
    struct cm_err err = {.text = ""};
    char text[64];
    assert_int_equal(cm_conf_parse("x.ini", ini, strlen(ini), &conf, &err), 0);
    op_heal_untold(cluster, &conf, text, sizeof(text));
    assert_string_equal(text, "edge1, edge3");
    json_t *list = op_heal_untold_json(cluster, &conf);
    assert_int_equal(json_array_size(list), 2);
    json_decref(list);
    json_decref(cluster);
    cm_conf_clear(&conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(woken),
        cmocka_unit_test(untold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
