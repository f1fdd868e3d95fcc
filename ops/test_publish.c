#include "publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/state.h"

#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_B "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA="

static const char ini[] = "[params]\nmail_domain = _chat.example\n"
                          "[store]\nssh = root@10.9.0.2\n"
                          "[gateway edge1]\nssh = root@198.51.100.11\nnumber = 1\n"
                          "addresses = 198.51.100.11 2001:db8:1::11\n";

/* What chatops makes is what the cluster reads. */
static void test_state_is_read_back(void **state)
{
    struct op_cluster c = {.ini = NULL};
    struct op_node nodes[2];
    struct px_state *s = calloc(1, sizeof(*s));
    struct cm_err err = {.text = ""};

    (void)state;
    memset(nodes, 0, sizeof(nodes));
    assert_int_equal(cm_conf_parse("x.ini", ini, strlen(ini), &c.conf, &err), 0);
    c.nodes = nodes;
    c.node_count = 2;
    strcpy(nodes[0].wg_key, KEY_A);
    strcpy(nodes[1].wg_key, KEY_B);
    char *text = op_publish_state(&c);
    /* the cluster gives the epoch; the strict reader wants one */
    char *zero = strstr(text, "\"epoch\":0");
    assert_non_null(zero);
    zero[8] = '1';
    if (px_state_parse(text, strlen(text), s, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(s->domain, "_chat.example");
    assert_string_equal(s->store_wg_public_key, KEY_A);
    assert_int_equal(s->port_count, 7);
    assert_int_equal(s->turn.port, 3478);
    assert_int_equal(s->turn.relay_min, 49160);
    assert_int_equal(s->turn.relay_max, 49359);
    assert_int_equal(s->gateway_count, 1);
    assert_string_equal(s->gateways[0].endpoint, "198.51.100.11");
    assert_string_equal(s->gateways[0].wg_public_key, KEY_B);
    assert_int_equal(s->gateways[0].address_count, 2);
    free(text);
    free(s);
    cm_conf_clear(&c.conf);
}

/* Who is not set up yet stays away; who is set up by hand is not waited for. */
static void test_left_out_and_agentless(void **state)
{
    static const char three[] =
        "[params]\nmail_domain = _chat.example\n"
        "[gateway edge1]\nssh = root@a\nnumber = 1\naddresses = 198.51.100.11\n"
        "[gateway edge2]\nssh = root@b\nnumber = 2\naddresses = 203.0.113.12\n"
        "[gateway edge3]\nnumber = 3\naddresses = 203.0.113.13\nagent = no\n"
        "wg_public_key = " KEY_B "\n";
    struct op_cluster c = {.ini = NULL};
    struct op_node nodes[4];
    struct px_state *s = calloc(1, sizeof(*s));
    struct cm_err err = {.text = ""};

    (void)state;
    memset(nodes, 0, sizeof(nodes));
    assert_int_equal(cm_conf_parse("x.ini", three, strlen(three), &c.conf, &err), 0);
    c.nodes = nodes;
    c.node_count = 4;
    nodes[2].left_out = true;
    op_publish_fill(&c, s);
    assert_int_equal(s->gateway_count, 2);
    assert_string_equal(s->gateways[0].name, "edge1");
    assert_false(s->gateways[0].agentless);
    assert_string_equal(s->gateways[1].name, "edge3");
    assert_int_equal(s->gateways[1].number, 3);
    assert_true(s->gateways[1].agentless);
    free(s);
    cm_conf_clear(&c.conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_is_read_back),
        cmocka_unit_test(test_left_out_and_agentless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
