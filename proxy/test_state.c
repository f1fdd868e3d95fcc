#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/bus.h"
#include "common/mem.h"
#include "common/sign.h"
#include "sample.h"
#include "state.h"

static void dump_and_back(void **unused)
{
    (void)unused;
    struct px_state state = px_sample(), back;
    struct cm_err err;
    char *text = px_state_dump(&state);
    assert_int_equal(px_state_parse(text, strlen(text), &back, &err), 0);
    char *again = px_state_dump(&back);
    assert_string_equal(text, again);
    assert_memory_equal(&state, &back, sizeof(state));
    assert_null(strchr(text, ' '));
    /* Sorted: the order of our struct must not matter. */
    assert_true(strncmp(text, "{\"bans\":[[", 10) == 0);
    assert_non_null(strstr(text, "]],\"bus_port\":4710,\"domain\":"));
    free(text);
    free(again);
}

/* A document that was signed before metrics_port was known. */
static void without_metrics_port(void **unused)
{
    (void)unused;
    static const char field[] = "\"metrics_port\":3903,";
    struct px_state state = px_sample(), back;
    struct cm_err err;
    char *text = px_state_dump(&state);
    char *at = strstr(text, field);
    assert_non_null(at);
    memmove(at, at + strlen(field), strlen(at + strlen(field)) + 1);
    assert_int_equal(px_state_parse(text, strlen(text), &back, &err), 0);
    assert_int_equal(back.metrics_port, 0);
    free(text);
}

/* Replaces the first OLD of the sample's text and says how the parser answers. */
static void refuse(const char *old, const char *new, const char *reason)
{
    struct px_state state = px_sample();
    struct cm_err err = {0};
    char *text = px_state_dump(&state);
    char *at = strstr(text, old);
    assert_non_null(at);
    char *bad = cm_asprintf("%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    assert_int_equal(px_state_parse(bad, strlen(bad), &state, &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    if (strstr(err.text, reason) == NULL) {
        fail_msg("\"%s\" does not contain \"%s\"", err.text, reason);
    }
    assert_int_equal(state.epoch, 17); /* untouched */
    free(bad);
    free(text);
}

static void agent_is_there_unless_said(void **unused)
{
    (void)unused;
    struct px_state state = px_sample(), back = {0};
    struct cm_err err;
    char *text = px_state_dump(&state);
    assert_null(strstr(text, "\"agent\""));
    assert_null(strstr(text, "\"header\""));
    assert_int_equal(px_state_parse(text, strlen(text), &back, &err), 0);
    assert_false(back.gateways[1].agentless);
    free(text);
    state.gateways[1].agentless = true;
    state.gateways[1].by_header = true;
    text = px_state_dump(&state);
    assert_non_null(strstr(text, "{\"addresses\":[\"203.0.113.12\"],\"agent\":false,"));
    assert_int_equal(px_state_parse(text, strlen(text), &back, &err), 0);
    assert_false(back.gateways[0].agentless);
    assert_true(back.gateways[1].agentless);
    assert_false(back.gateways[0].by_header);
    assert_true(back.gateways[1].by_header);
    free(text);
}

static void refused_fields(void **unused)
{
    (void)unused;
    refuse("\"epoch\":17", "\"epoch\":17.0", "epoch: not an integer");
    refuse("\"epoch\":17", "\"epoch\":-1", "epoch: -1 is outside");
    refuse("\"epoch\":17", "\"epoch\":1,\"epoch\":17", "duplicate");
    refuse("\"format\":\"1.3\"", "\"format\":\"2.0\"", "format: 2.0 is not understood");
    refuse("\"format\":\"1.3\"", "\"format\":\"1\"", "format");
    refuse("\"format\":\"1.3\"", "\"format\":\"1.0.3\"", "not MAJOR.MINOR");
    refuse("\"bus_port\":4710,", "", "bus_port: missing");
    refuse("\"bus_port\":4710", "\"bus_port\":65534", "bus_port: 65534");
    refuse("\"metrics_port\":3903", "\"metrics_port\":65536", "metrics_port: 65536");
    refuse("[25,80", "[80,25", "ports[1]: not in ascending order");
    refuse("[25,80", "[25,25", "ports[1]");
    refuse("[25,80", "[0,80", "ports[0]");
    refuse("\"port\":3478", "\"port\":0", "turn.port: 0 is outside");
    refuse("\"port\":3478", "\"port\":49200", "turn.port: in its relay range");
    refuse("\"relay_min\":49160", "\"relay_min\":80", "turn.relay_min: 80");
    refuse("\"relay_max\":49359", "\"relay_max\":49159", "turn.relay_max: 49159");
    refuse("\"relay_max\":49359", "\"relay_max\":51820", "gateways[0].wg_port: one of");
    refuse(",\"relay_min\":49160", "", "turn.relay_min: missing");
    refuse("\"turn\":{", "\"turn\":[],\"x\":{", "turn: not an object");
    refuse("\"egress\":\"gateways\"", "\"egress\":\"some\"", "egress: \"some\"");
    refuse("\"egress\":true", "\"egress\":true,\"plane\":\"carrier\"",
           "gateways[0].plane: \"carrier\"");
    refuse("\"egress\":true", "\"egress\":true,\"agent\":\"no\"", "gateways[0].agent");
    refuse("\"egress\":true", "\"egress\":true,\"header\":1", "gateways[0].header");
    refuse("\"egress\":true", "\"egress\":true,\"header\":true",
           "gateways[0].header: without a proxy");
    refuse("\"budget\":1000000000000", "\"budget\":0", "gateways[0].budget: 0");
    refuse("\"source_rate\":100", "\"source_rate\":-1", "limits.source_rate: -1");
    refuse("\"source_burst\":4000", "\"source_burst\":0", "limits.source_burst: 0");
    refuse(",\"stranger_rate\":500", "", "limits.stranger_rate: missing");
    refuse("\"limits\":{", "\"limits\":[],\"x\":{", "limits: not an object");
    refuse("203.0.113.66", "203.0.113.066", "bans[0]: not a source");
    refuse("203.0.113.66", "203.0.113.66/32", "bans[0]: not a source");
    refuse("203.0.113.66", "::ffff:203.0.113.66", "bans[0]: not a source");
    refuse("2001:db8:ba:d0::", "2001:db8:ba:d0::1", "bans[1]: not a source");
    refuse("2001:db8:ba:d0::", "203.0.113.66", "bans[1]: not in ascending order");
    refuse("2001:db8:ba:d0::", "203.0.113.65", "bans[1]: not in ascending order");
    refuse(",2000000000]", ",\"x\"]", "bans[0]: not a time");
    refuse(",2000000000]", ",0]", "bans[0]: not a time");
    refuse(",2000000000]", ",2000000000,1]", "bans[0]: not a source and a time");
    refuse("[\"203.0.113.66\",2000000000]", "7", "bans[0]: not a source and a time");
    refuse("\"egress_weight\":300", "\"egress_weight\":1001",
           "gateways[0].egress_weight: 1001");
    refuse("\"egress\":true", "\"egress\":1", "gateways[0].egress");
    refuse("\"mode\":\"active\"", "\"mode\":\"idle\"", "gateways[0].mode");
    refuse("edge2", "edge1", "gateways[1].name: edge1 twice");
    refuse("edge2", "edge two", "gateways[1].name");
    refuse("edge2", "-edge", "gateways[1].name");
    refuse("\"number\":2", "\"number\":1", "gateways[1].number");
    refuse("\"number\":2", "\"number\":33", "gateways[1].number");
    refuse("203.0.113.12", "198.51.100.11", "gateways[1].addresses");
    refuse("2001:db8:1::11", "198.51.100.11", "gateways[0].addresses");
    refuse("203.0.113.12", "2001:0db8:1::0011", "gateways[1].addresses");
    refuse("203.0.113.12", "127.0.0.1", "gateways[1].addresses[0]");
    refuse("203.0.113.12", "203.0.113.12 }; drop", "gateways[1].addresses[0]");
    refuse("203.0.113.12", "edge2.example", "gateways[1].addresses[0]");
    refuse("\"endpoint\":\"198", "\"endpoint\":\"\\n198", "gateways[0].endpoint");
    refuse("RURHRTJ", "RURHRT", "gateways[1].wg_public_key");
    refuse("RURHRTJLRVlFREdFMktFWUVER0UyS0VZRURHRTJLRVk=",
           "RURHRTFLRVlFREdFMUtFWUVER0UxS0VZRURHRTFLRVk=", "gateways[1].wg_public_key");
    refuse("_chat.example", "chat\\u0000x", "not JSON");
    refuse("}]", "}]}", "not JSON");
}

static void unknown_fields_are_ignored(void **unused)
{
    (void)unused;
    struct px_state state = px_sample(), back;
    struct cm_err err;
    char *text = px_state_dump(&state);
    char *more = cm_asprintf("{\"zones\":[1,{\"x\":2.5}],%s", text + 1);
    assert_int_equal(px_state_parse(more, strlen(more), &back, &err), 0);
    assert_memory_equal(&state, &back, sizeof(state));
    free(more);
    free(text);
}

static void guard_may_be_absent(void **unused)
{
    (void)unused;
    struct px_state state = px_sample(), back = px_sample();
    struct cm_err err;
    state.limits = (struct px_limits){0};
    memset(state.bans, 0, sizeof(state.bans));
    state.ban_count = 0;
    state.gateways[0].budget = 0;
    char *text = px_state_dump(&state);
    assert_null(strstr(text, "limits"));
    assert_null(strstr(text, "bans"));
    assert_null(strstr(text, "budget"));
    assert_int_equal(px_state_parse(text, strlen(text), &back, &err), 0);
    assert_memory_equal(&state, &back, sizeof(state));
    free(text);
}

/* As many as there may be fit into a message of the bus, and not one more is taken. */
static void bans_are_bounded(void **unused)
{
    (void)unused;
    static struct px_state state, back;
    struct cm_err err;
    state = px_sample();
    state.ban_count = PX_BANS_MAX;
    for (size_t i = 0; i < PX_BANS_MAX; i++) {
        state.bans[i] =
            (struct px_ban){{0x20, 0x01, 0x0d, 0xb8, 0xaa, 0xaa,
                             (unsigned char)(0xa0 + i / 256), (unsigned char)i},
                            2000000000};
    }
    char *text = px_state_dump(&state);
    assert_in_range(strlen(text), 1, CM_BUS_MAX / 2);
    assert_int_equal(px_state_parse(text, strlen(text), &back, &err), 0);
    assert_memory_equal(&state, &back, sizeof(state));
    char *more =
        cm_asprintf("%.*s,[\"3000::\",1]%s", (int)(strstr(text, "]],") + 1 - text),
                    text, strstr(text, "]],") + 1);
    assert_int_equal(px_state_parse(more, strlen(more), &back, &err), -1);
    assert_non_null(strstr(err.text, "bans: 4097 entries"));
    free(more);
    free(text);
}

/* As documents before 1.1 are. */
static void turn_may_be_absent(void **unused)
{
    (void)unused;
    struct px_state state = px_sample(), back = px_sample();
    struct cm_err err;
    state.turn = (struct px_turn){0};
    char *text = px_state_dump(&state);
    assert_null(strstr(text, "turn"));
    assert_int_equal(px_state_parse(text, strlen(text), &back, &err), 0);
    assert_memory_equal(&state, &back, sizeof(state));
    free(text);
}

static void finds_by_name(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    assert_ptr_equal(px_state_find(&state, "edge2"), &state.gateways[1]);
    assert_null(px_state_find(&state, "edge"));
}

static void envelope(void **unused)
{
    (void)unused;
    char secret[CM_SIGN_KEY_TEXT], public_key[CM_SIGN_KEY_TEXT];
    char other[CM_SIGN_KEY_TEXT], other_public[CM_SIGN_KEY_TEXT];
    struct px_state state = px_sample(), back;
    struct cm_err err;
    assert_int_equal(cm_sign_keygen(secret, public_key, &err), 0);
    assert_int_equal(cm_sign_keygen(other, other_public, &err), 0);
    char *text = px_state_dump(&state), *sealed;
    assert_int_equal(px_envelope_seal(secret, text, &sealed, &err), 0);
    size_t len = strlen(sealed);
    assert_int_equal(px_envelope_open(public_key, sealed, len, &back, &err), 0);
    assert_int_equal(back.epoch, 17);

    assert_int_equal(px_envelope_open(other_public, sealed, len, &back, &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    /* Every single changed byte is noticed, before anything is parsed. */
    for (size_t i = 0; i < len; i += 7) {
        sealed[i] ^= 1;
        assert_int_equal(px_envelope_open(public_key, sealed, len, &back, &err), -1);
        assert_null(strstr(err.text, "JSON"));
        sealed[i] ^= 1;
    }
    assert_int_equal(px_envelope_open(public_key, sealed, len - 1, &back, &err), -1);
    assert_int_equal(px_envelope_open(public_key, sealed, 89, &back, &err), -1);
    assert_int_equal(px_envelope_open(public_key, "", 0, &back, &err), -1);
    free(sealed);
    free(text);
}

static void too_long(void **unused)
{
    (void)unused;
    struct px_state back;
    struct cm_err err;
    char *text = cm_malloc(CM_BUS_MAX + 1);
    memset(text, ' ', CM_BUS_MAX + 1);
    assert_int_equal(px_state_parse(text, CM_BUS_MAX + 1, &back, &err), -1);
    assert_non_null(strstr(err.text, "at most"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dump_and_back),
        cmocka_unit_test(agent_is_there_unless_said),
        cmocka_unit_test(refused_fields),
        cmocka_unit_test(unknown_fields_are_ignored),
        cmocka_unit_test(turn_may_be_absent),
        cmocka_unit_test(guard_may_be_absent),
        cmocka_unit_test(bans_are_bounded),
        cmocka_unit_test(without_metrics_port),
        cmocka_unit_test(finds_by_name),
        cmocka_unit_test(envelope),
        cmocka_unit_test(too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
