#include "topology.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static void addresses_are_those_of_the_plan(void **state)
{
    (void)state;
    assert_string_equal(topology_address("edge1", AF_INET), "198.51.100.11");
    assert_string_equal(topology_address("edge1", AF_INET6), "2001:db8:1::11");
    assert_string_equal(topology_address("edge2", AF_INET6), "2001:db8:2::12");
    assert_string_equal(topology_address("home", AF_INET), "198.51.100.90");
    assert_string_equal(topology_address("store", AF_INET), "10.9.0.2");
    assert_null(topology_address("store", AF_INET6));
    assert_string_equal(topology_address("dns", AF_INET), TOPOLOGY_RESOLVER);
    assert_null(topology_address("nobody", AF_INET));
}

static void every_link_has_a_node_and_a_bridge(void **state)
{
    (void)state;
    for (const struct topology_link *k = topology_links; k->node; k++) {
        assert_non_null(topology_find(k->node));
        bool found = false;
        for (const struct topology_bridge *b = topology_bridges; b->name; b++)
            found |= strcmp(b->name, k->bridge) == 0;
        assert_true(found);
        assert_true(strlen(k->port) < 16); /* IFNAMSIZ */
    }
}

static void no_address_and_no_port_twice(void **state)
{
    (void)state;
    for (const struct topology_link *a = topology_links; a->node; a++)
        for (const struct topology_link *b = a + 1; b->node; b++) {
            assert_string_not_equal(a->port, b->port);
            for (size_t i = 0; i < 4 && a->addresses[i]; i++)
                for (size_t j = 0; j < 4 && b->addresses[j]; j++)
                    assert_string_not_equal(a->addresses[i], b->addresses[j]);
        }
}

static void unknown_node_names_the_known(void **state)
{
    (void)state;
    const struct topology_node *node = NULL;
    struct cm_err err;
    assert_int_equal(topology_need("edge3", &node, &err), -1);
    assert_null(node);
    assert_non_null(strstr(err.text, "edge3"));
    assert_non_null(strstr(err.text, "relay2"));
    assert_int_equal(topology_need("edge2", &node, &err), 0);
    assert_string_equal(node->name, "edge2");
}

static void node_text_brings_both_families(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 4096);
    topology_ip_node(topology_find("edge2"), &b);
    assert_string_equal(b.data, "link set lo up\n"
                                "addr add 203.0.113.12/24 dev eth0\n"
                                "addr add 2001:db8:2::12/64 dev eth0 nodad\n"
                                "link set eth0 up\n"
                                "route add default via 203.0.113.1\n"
                                "route add ::/0 via 2001:db8:2::1\n");
    cm_buf_reset(&b);
    topology_ip_node(topology_find("home"), &b);
    assert_non_null(strstr(b.data, "addr add 10.9.0.1/24 dev eth1\n"));
    assert_null(strstr(b.data, "::"));
    cm_buf_clear(&b);
}

static void cables_go_to_the_namespace(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 4096);
    topology_ip_cables(topology_find("home"), "plab-home", &b);
    assert_non_null(strstr(b.data, "link add home type veth peer name eth0 "));
    assert_non_null(strstr(b.data, "link set home-lan master br-home up\n"));
    assert_non_null(strstr(b.data, "netns plab-home\n"));
    cm_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_those_of_the_plan),
        cmocka_unit_test(every_link_has_a_node_and_a_bridge),
        cmocka_unit_test(no_address_and_no_port_twice),
        cmocka_unit_test(unknown_node_names_the_known),
        cmocka_unit_test(node_text_brings_both_families),
        cmocka_unit_test(cables_go_to_the_namespace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
