#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "boot.h"
#include "common/mem.h"

static const char good[] =
    "[gateway]\n"
    "name = edge1\n"
    "number = 1\n"
    "wg_port = 51820\n"
    "bus_port = 4710\n"
    "cluster_key = Q0xVU1RFUktFWUNMVVNURVJLRVlDTFVTVEVSS0VZQ0w=\n"
    "store_wg_key = U1RPUkVLRVlTVE9SRUtFWVNUT1JFS0VZU1RPUkVLRVk=\n";

static void reads(void **unused)
{
    (void)unused;
    struct gw_boot boot;
    struct px_state state;
    struct cm_err err;
    assert_int_equal(gw_boot_parse("g", good, strlen(good), &boot, &err), 0);
    assert_string_equal(boot.name, "edge1");
    assert_int_equal(boot.wg_port, 51820);
    gw_boot_state(&boot, &state);
    assert_int_equal(state.epoch, 0);
    assert_ptr_equal(px_state_find(&state, "edge1"), &state.gateways[0]);
    assert_int_equal(state.gateways[0].mode, CM_MODE_OFF);
}

static void refuse(const char *old, const char *new, const char *reason)
{
    struct gw_boot boot = {.number = 9};
    struct cm_err err = {0};
    const char *at = strstr(good, old);
    assert_non_null(at);
    char *bad = cm_asprintf("%.*s%s%s", (int)(at - good), good, new, at + strlen(old));
    assert_int_equal(gw_boot_parse("g", bad, strlen(bad), &boot, &err), -1);
    assert_int_equal(boot.number, 9);
    if (strstr(err.text, reason) == NULL) {
        fail_msg("\"%s\" does not contain \"%s\"", err.text, reason);
    }
    free(bad);
}

static void refuses(void **unused)
{
    (void)unused;
    refuse("number = 1", "number = 33", "g:3: [gateway] number");
    refuse("number = 1", "number = one", "allowed: 1 to 32");
    refuse("number = 1\n", "", "number: missing");
    refuse("name = edge1", "name = Edge 1", "g:2: [gateway] name");
    refuse("bus_port = 4710", "bus_port = 65535", "bus_port");
    refuse("wg_port", "wgport", "g:4: [gateway] wgport: unknown");
    refuse("[gateway]", "[node]", "[node] name: unknown");
}

static void missing_file(void **unused)
{
    (void)unused;
    struct gw_boot boot;
    struct cm_err err;
    assert_int_equal(gw_boot_load("/nonexistent/gateway.conf", &boot, &err), -1);
    assert_non_null(strstr(err.text, "chatops run"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(refuses),
        cmocka_unit_test(missing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
