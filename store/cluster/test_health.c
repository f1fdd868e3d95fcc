#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/metrics.h"
#include "egress_file.h"
#include "figures.h"
#include "health.h"
#include "outside.h"
#include "serving_file.h"
#include "status.h"

static struct px_state two_gateways(void)
{
    struct px_state s = {
        .epoch = 7, .domain = "_chat.example", .egress = CM_EGRESS_GATEWAYS};
    s.gateway_count = 2;
    s.gateways[0] = (struct px_gateway){
        .name = "edge1", .number = 1, .egress = true, .egress_weight = 100};
    s.gateways[1] = (struct px_gateway){
        .name = "edge2", .number = 4, .egress = true, .egress_weight = 100};
    return s;
}

struct changes {
    int count, number;
    bool up;
    enum health_state now;
    char check[40];
};

static void on_change(const struct health_change *change, void *ctx)
{
    struct changes *c = ctx;
    assert_true(change->reason[0] != '\0');
    c->count++;
    c->number = change->number;
    c->now = change->now;
    c->up = change->now == HEALTH_UP;
    snprintf(c->check, sizeof(c->check), "%s", change->check);
}

static void reports(struct health *h, int number, int n, int64_t from_ms)
{
    struct px_report r = {.name = "edge1", .applied_epoch = 7};
    for (int i = 0; i < n; i++) {
        health_report(h, number, &r, from_ms + 1000 * i);
    }
}

static void comes_up_after_three_and_goes_down_after_silence(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    struct health h;
    struct changes seen = {0};
    int numbers[CM_GATEWAYS_MAX];
    health_init(&h);
    reports(&h, 1, 2, 1000);
    health_judge(&h, &s, 2500, on_change, &seen);
    assert_int_equal(seen.count, 0);
    assert_int_equal(health_egress(&h, &s, numbers), 0);
    reports(&h, 1, 1, 3000);
    health_judge(&h, &s, 3500, on_change, &seen);
    assert_int_equal(seen.count, 1);
    assert_true(seen.up);
    assert_int_equal(health_egress(&h, &s, numbers), 1);
    assert_int_equal(numbers[0], 1);
    health_judge(&h, &s, 3000 + HEALTH_SILENCE_MS, on_change, &seen);
    assert_int_equal(seen.count, 1);
    health_judge(&h, &s, 3001 + HEALTH_SILENCE_MS, on_change, &seen);
    assert_int_equal(seen.count, 2);
    assert_false(seen.up);
}

static void a_flapping_line_does_not_come_up(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    struct health h;
    struct changes seen = {0};
    health_init(&h);
    for (int i = 0; i < 10; i++) {
        reports(&h, 4, 2, 10000 * i);
        health_judge(&h, &s, 10000 * i + 1500, on_change, &seen);
    }
    assert_int_equal(seen.count, 0);
}

static void the_next_one_takes_over_and_modes_count(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    struct health h;
    struct changes seen = {0};
    int numbers[CM_GATEWAYS_MAX];
    health_init(&h);
    reports(&h, 1, 3, 1000);
    reports(&h, 4, 3, 1000);
    health_judge(&h, &s, 3100, on_change, &seen);
    assert_int_equal(health_egress(&h, &s, numbers), 2);
    assert_string_equal(health_egress_word(&h, &s, &s.gateways[0]), "active");
    assert_string_equal(health_egress_word(&h, &s, &s.gateways[1]), "active");
    s.gateways[1].egress_weight = 200;
    assert_int_equal(health_egress(&h, &s, numbers), 2);
    assert_int_equal(numbers[0], 4);
    s.gateways[1].egress_weight = 0;
    assert_int_equal(health_egress(&h, &s, numbers), 1);
    assert_int_equal(numbers[0], 1);
    assert_string_equal(health_egress_word(&h, &s, &s.gateways[1]), "standby");
    s.gateways[1].egress_weight = 100;
    s.gateways[0].mode = CM_MODE_DRAIN;
    assert_int_equal(health_egress(&h, &s, numbers), 1);
    assert_int_equal(numbers[0], 4);
    assert_string_equal(health_egress_word(&h, &s, &s.gateways[0]), "down");
    s.egress = CM_EGRESS_DIRECT;
    assert_int_equal(health_egress(&h, &s, numbers), 0);
    assert_string_equal(health_egress_word(&h, &s, &s.gateways[1]), "no");
}

static void see(struct health *h, int number, enum health_where where, uint16_t port,
                enum px_probe_result result, bool doubtful, int64_t now_ms)
{
    struct health_sight sight = {where, port, result, 7, doubtful};
    health_seen(h, number, &sight, now_ms);
}

/* Reports without a gap, judged each second. */
static int64_t live(struct health *h, const struct px_state *s, struct changes *seen,
                    int64_t from_ms, int64_t ms)
{
    for (int64_t now = from_ms; now < from_ms + ms; now += 1000) {
        reports(h, 1, 1, now);
        reports(h, 4, 1, now);
        health_judge(h, s, now, on_change, seen);
    }
    return from_ms + ms;
}

static void a_check_that_fails_impairs(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    static struct health h;
    struct changes seen = {0};
    int numbers[CM_GATEWAYS_MAX];
    health_init(&h);
    int64_t now = live(&h, &s, &seen, 1000, 5000);
    assert_int_equal(seen.count, 2);
    /* One failure is none. */
    see(&h, 1, HEALTH_OUTSIDE4, 993, PX_PROBE_OK, false, now);
    see(&h, 1, HEALTH_OUTSIDE4, 993, PX_PROBE_REFUSED, false, now + 1000);
    see(&h, 1, HEALTH_OUTSIDE4, 993, PX_PROBE_OK, false, now + 2000);
    see(&h, 1, HEALTH_OUTSIDE4, 993, PX_PROBE_REFUSED, false, now + 20000);
    now = live(&h, &s, &seen, now, 30000);
    assert_int_equal(seen.count, 2);
    see(&h, 1, HEALTH_OUTSIDE4, 993, PX_PROBE_REFUSED, false, now + 10000);
    now = live(&h, &s, &seen, now, 2000);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.number, 1);
    assert_int_equal(seen.now, HEALTH_IMPAIRED);
    assert_string_equal(seen.check, "outside4 port 993");
    /* It stands in when no other is well. */
    assert_int_equal(health_egress(&h, &s, numbers), 1);
    assert_int_equal(numbers[0], 4);
    assert_string_equal(health_egress_word(&h, &s, &s.gateways[0]), "standby");
    s.gateways[1].egress = false;
    assert_int_equal(health_egress(&h, &s, numbers), 1);
    assert_int_equal(numbers[0], 1);
    s.gateways[1].egress = true;
    see(&h, 1, HEALTH_OUTSIDE4, 993, PX_PROBE_OK, false, now);
    see(&h, 1, HEALTH_OUTSIDE4, 993, PX_PROBE_OK, false, now + 20000);
    now = live(&h, &s, &seen, now, 2000);
    assert_int_equal(seen.count, 4);
    assert_int_equal(seen.now, HEALTH_UP);
    assert_int_equal(health_egress(&h, &s, numbers), 2);
    assert_int_equal(numbers[0], 1);
}

static void what_a_filter_may_do_is_unknown(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    static struct health h;
    struct changes seen = {0};
    health_init(&h);
    int64_t now = live(&h, &s, &seen, 1000, 5000);
    for (int i = 0; i < 10; i++) {
        see(&h, 1, HEALTH_OUTSIDE4, 25, PX_PROBE_REFUSED, true, now + 20000 * i);
        see(&h, 1, HEALTH_OUTSIDE6, 443, PX_PROBE_SILENT, false, now + 20000 * i);
        see(&h, 1, HEALTH_OUTSIDE6, 993, PX_PROBE_NONE, false, now + 20000 * i);
    }
    now = live(&h, &s, &seen, now, 2000);
    assert_int_equal(seen.count, 2);
    /* It was well once: then silence is one. */
    see(&h, 1, HEALTH_OUTSIDE6, 443, PX_PROBE_OK, false, now);
    see(&h, 1, HEALTH_OUTSIDE6, 443, PX_PROBE_SILENT, false, now + 1000);
    see(&h, 1, HEALTH_OUTSIDE6, 443, PX_PROBE_SILENT, false, now + 21000);
    now = live(&h, &s, &seen, now, 2000);
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.check, "outside6 port 443");
    /* Drained: nobody asks, nothing is wrong. */
    s.gateways[0].mode = CM_MODE_DRAIN;
    now = live(&h, &s, &seen, now, 2000);
    assert_int_equal(seen.count, 4);
    assert_int_equal(seen.now, HEALTH_UP);
}

static void what_the_gateway_sees_and_its_handshake(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    static struct health h;
    struct changes seen = {0};
    struct px_report r = {.name = "edge1",
                          .applied_epoch = 7,
                          .probes = {{25, PX_PROBE_WRONG, 3}},
                          .probe_count = 1};
    health_init(&h);
    for (int i = 0; i < 20; i++) {
        health_report(&h, 1, &r, 1000 * i);
        health_judge(&h, &s, 1000 * i, on_change, &seen);
    }
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.now, HEALTH_IMPAIRED);
    assert_string_equal(seen.check, "inside port 25");
    r.probes[0].result = PX_PROBE_OK;
    for (int i = 20; i < 40; i++) {
        health_report(&h, 1, &r, 1000 * i);
        health_judge(&h, &s, 1000 * i, on_change, &seen);
    }
    assert_int_equal(seen.now, HEALTH_UP);
    r.handshake_age_s = HEALTH_HANDSHAKE_S + 1;
    health_report(&h, 1, &r, 40000);
    health_judge(&h, &s, 40000, on_change, &seen);
    assert_int_equal(seen.now, HEALTH_IMPAIRED);
    assert_string_equal(seen.check, "handshake");
}

static void the_way_to_knock(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    static struct health h;
    struct changes seen = {0};
    struct sockaddr_storage from, want;
    bool doubtful;
    strcpy(s.gateways[0].addresses[0], "198.51.100.11");
    strcpy(s.gateways[1].addresses[0], "203.0.113.12");
    s.gateways[0].address_count = s.gateways[1].address_count = 1;
    health_init(&h);
    live(&h, &s, &seen, 1000, 5000);
    /* By the home line. */
    assert_true(outside_way(&s, &h, &s.gateways[0], false, 993, &from, &doubtful));
    assert_int_equal(from.ss_family, 0);
    assert_false(doubtful);
    /* Through the other one, or not at all. */
    assert_true(outside_way(&s, &h, &s.gateways[0], false, 25, &from, &doubtful));
    assert_true(px_probe_address("10.77.4.2", 0, &want));
    assert_memory_equal(&from, &want, sizeof(want));
    assert_false(doubtful);
    assert_false(outside_way(&s, &h, &s.gateways[0], true, 25, &from, &doubtful));
    s.gateways[1].egress = false;
    assert_false(outside_way(&s, &h, &s.gateways[0], false, 25, &from, &doubtful));
    s.egress = CM_EGRESS_ALL;
    assert_false(outside_way(&s, &h, &s.gateways[0], false, 993, &from, &doubtful));
    s.egress = CM_EGRESS_DIRECT;
    assert_true(outside_way(&s, &h, &s.gateways[0], false, 25, &from, &doubtful));
    assert_true(doubtful);
}

/* What leaves from there is not seen from outside. */
static void the_home_line_is_no_tunnel(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    struct sockaddr_storage at;
    char inner[46];
    px_inner6(s.gateways[1].number, 2, inner);
    assert_true(px_probe_address(inner, 0, &at));
    assert_true(outside_is_inner(&s, &at));
    assert_true(px_probe_address("10.77.4.2", 0, &at));
    assert_true(outside_is_inner(&s, &at));
    assert_true(px_probe_address("10.77.4.1", 0, &at));
    assert_false(outside_is_inner(&s, &at));
    assert_true(px_probe_address("2001:db8::7", 0, &at));
    assert_false(outside_is_inner(&s, &at));
}

static void the_egress_file_names_what_can_carry(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    strcpy(s.gateways[0].addresses[0], "198.51.100.11");
    strcpy(s.gateways[0].addresses[1], "2001:db8:1::11");
    s.gateways[0].address_count = 2;
    strcpy(s.gateways[1].addresses[0], "203.0.113.12");
    s.gateways[1].address_count = 1;
    static const int both[] = {4, 1};
    char *text = egress_file_text(&s, both, 2);
    assert_string_equal(text, "4 10.77.4.2 - _chat.example 100\n"
                              "1 10.77.1.2 fd77:1::2 _chat.example 100\n");
    free(text);
    strcpy(s.domain, "198.51.100.11"); /* no name that all of them have */
    text = egress_file_text(&s, both, 1);
    assert_string_equal(text, "4 10.77.4.2 - - 100\n");
    free(text);
    text = egress_file_text(&s, both, 0);
    assert_string_equal(text, "");
    free(text);
    s.egress = CM_EGRESS_DIRECT;
    text = egress_file_text(&s, both, 0);
    assert_string_equal(text, "direct\n");
    free(text);
}

static void chatmail_dns_is_told_who_serves(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    struct health h;
    health_init(&h);
    strcpy(s.gateways[0].addresses[0], "198.51.100.11");
    strcpy(s.gateways[0].addresses[1], "2001:db8:1::11");
    s.gateways[0].address_count = 2;
    s.gateways[1].mode = CM_MODE_DRAIN;
    h.rows[1].state = HEALTH_UP;
    s.epoch = 0;
    char *text = serving_file_text(&s, &h);
    assert_string_equal(text, "");
    free(text);
    s.epoch = 7;
    text = serving_file_text(&s, &h);
    assert_string_equal(text, "domain _chat.example\n"
                              "edge1 active up 198.51.100.11 2001:db8:1::11\n"
                              "edge2 drain down\n");
    free(text);
}

static void without_rules_it_carries_nothing(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    struct health h;
    struct changes seen = {0};
    struct px_report booted = {.name = "edge1", .applied_epoch = 0};
    health_init(&h);
    for (int i = 0; i < 5; i++) {
        health_report(&h, 1, &booted, 1000 * i);
        health_judge(&h, &s, 1000 * i + 100, on_change, &seen);
    }
    assert_int_equal(seen.count, 0);
    reports(&h, 1, 3, 5000);
    health_judge(&h, &s, 7100, on_change, &seen);
    assert_true(seen.up);
    health_report(&h, 1, &booted, 8000);
    health_judge(&h, &s, 8100, on_change, &seen);
    assert_int_equal(seen.count, 2);
    assert_false(seen.up);
}

static void silence_counts_from_the_beginning(void **state)
{
    (void)state;
    struct health h;
    health_init(&h);
    assert_false(health_silent(&h, 1, 1000, 1000 + HEALTH_SILENCE_MS));
    assert_true(health_silent(&h, 1, 1000, 1001 + HEALTH_SILENCE_MS));
    reports(&h, 1, 1, 9000);
    assert_false(health_silent(&h, 1, 1000, 9500));
    assert_true(health_silent(&h, 1, 1000, 9001 + HEALTH_SILENCE_MS));
}

static void a_removed_gateway_is_forgotten(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    struct health h;
    struct changes seen = {0};
    health_init(&h);
    reports(&h, 4, 3, 1000);
    health_judge(&h, &s, 3100, on_change, &seen);
    assert_true(h.rows[4].up);
    s.gateway_count = 1;
    health_keep(&h, &s);
    assert_false(h.rows[4].up);
    assert_int_equal(h.rows[4].report_ms, -1);
}

static const struct px_tunnel_facts *facts(int number, void *ctx)
{
    (void)number;
    return ctx;
}

static void status_says_unknown_as_minus_one(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    struct health h;
    struct px_tunnel_facts none = {.handshake_age_s = -1};
    health_init(&h);
    reports(&h, 1, 1, 1000);
    static struct woken woken[CM_GATEWAYS_MAX + 1] = {
        [4] = {.at_ms = 3500, .accounts = 12, .rung = 11, .why = "a reason"}};
    char *text = status_json(&s, "forged", &h, woken, facts, &none, 7500);
    assert_non_null(strstr(text, "\"epoch\":7"));
    assert_non_null(strstr(text, "\"refused\":\"forged\""));
    assert_non_null(strstr(text, "\"applied_epoch\":7"));
    assert_non_null(strstr(text, "\"report_age_ms\":6500"));
    assert_non_null(strstr(text, "\"error\":\"no report yet\""));
    assert_non_null(strstr(text, "\"report_age_ms\":-1"));
    assert_non_null(strstr(text, "\"woken\":null"));
    assert_non_null(strstr(text, "\"health\":\"down\""));
    assert_non_null(strstr(text, "\"woken\":{\"accounts\":12,\"rung\":11,\"ago_s\":4,"
                                 "\"why\":\"a reason\"}"));
    free(text);
}

/* Nobody reports; handshake and doors are all there is. */
static void without_agent_handshake_and_doors_decide(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    struct health h;
    struct changes seen = {0};
    int64_t now = 1000;
    int numbers[CM_GATEWAYS_MAX];
    s.gateways[1].agentless = true;
    health_init(&h);
    health_keep(&h, &s);
    health_judge(&h, &s, now, on_change, &seen);
    assert_int_equal(seen.count, 0);
    assert_true(health_silent(&h, 4, 0, now));
    health_tunnel(&h, 4, 3);
    health_judge(&h, &s, now, on_change, &seen);
    assert_int_equal(seen.count, 1);
    assert_true(seen.up);
    assert_false(health_silent(&h, 4, 0, now + 3600 * 1000));
    assert_int_equal(health_egress(&h, &s, numbers), 1);
    assert_int_equal(numbers[0], 4);
    /* one of two doors, then both */
    struct health_sight smtp = {.where = HEALTH_OUTSIDE4, .port = 443},
                        imap = {.where = HEALTH_OUTSIDE4, .port = 993};
    for (int i = 0; i < 4; i++, now += 10000) {
        smtp.result = i == 0 ? PX_PROBE_OK : PX_PROBE_REFUSED;
        imap.result = PX_PROBE_OK;
        health_seen(&h, 4, &smtp, now);
        health_seen(&h, 4, &imap, now);
    }
    health_judge(&h, &s, now, on_change, &seen);
    assert_int_equal(seen.now, HEALTH_IMPAIRED);
    assert_string_equal(seen.check, "outside4 port 443");
    for (int i = 0; i < 3; i++, now += 10000) {
        imap.result = PX_PROBE_SILENT;
        health_seen(&h, 4, &imap, now);
    }
    health_judge(&h, &s, now, on_change, &seen);
    assert_int_equal(seen.now, HEALTH_DOWN);
    assert_int_equal(health_egress(&h, &s, numbers), 0);
    /* doors are not looked at in another mode: the handshake alone */
    s.gateways[1].mode = CM_MODE_HOLD;
    health_judge(&h, &s, now, on_change, &seen);
    assert_int_equal(seen.now, HEALTH_UP);
    health_tunnel(&h, 4, HEALTH_HANDSHAKE_S + 1);
    health_judge(&h, &s, now, on_change, &seen);
    assert_int_equal(seen.now, HEALTH_DOWN);
    assert_string_equal(seen.check, "handshake");
    assert_true(health_silent(&h, 4, 0, now));
}

static void a_gateway_that_gets_an_agent_begins_anew(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    struct health h;
    struct changes seen = {0};
    struct px_tunnel_facts none = {.handshake_age_s = -1};
    static struct woken woken[CM_GATEWAYS_MAX + 1];
    s.gateways[1].agentless = true;
    health_init(&h);
    health_keep(&h, &s);
    health_tunnel(&h, 4, 3);
    health_judge(&h, &s, 1000, on_change, &seen);
    char *text = status_json(&s, "", &h, woken, facts, &none, 1000);
    assert_non_null(strstr(text, "\"error\":\"no report yet\",\"woken\":null,"));
    assert_non_null(strstr(text, "\"agent\":true,\"table_used\":-1,\"table_max\":-1,"
                                 "\"table_full\":false,\"carried\":null},{"));
    assert_non_null(strstr(text, "\"error\":\"\",\"woken\":null,\"health\":\"up\","));
    assert_non_null(strstr(text, "\"agent\":false,\"table_used\":-1,"
                                 "\"table_max\":-1,\"table_full\":false,"
                                 "\"carried\":null}]"));
    free(text);
    s.gateways[1].agentless = false;
    health_keep(&h, &s);
    assert_int_equal(h.rows[4].state, HEALTH_DOWN);
    assert_int_equal(h.rows[4].report_ms, -1);
}

static void a_full_table_impairs(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    static struct health h;
    static struct woken woken[CM_GATEWAYS_MAX + 1];
    struct px_tunnel_facts none = {.handshake_age_s = -1};
    struct changes seen = {0};
    struct cm_buf out;
    struct px_report r = {
        .name = "edge1", .applied_epoch = 7, .counts = px_counts_unknown()};
    r.counts.table_used = r.counts.table_max = 262144;
    r.counts.table_full = 1;
    health_init(&h);
    for (int i = 0; i < HEALTH_GOOD_REPORTS; i++) {
        health_report(&h, 1, &r, 1000 + i);
    }
    health_judge(&h, &s, 1100, on_change, &seen);
    assert_int_equal(seen.now, HEALTH_IMPAIRED);
    assert_string_equal(seen.check, "table");
    assert_string_equal(h.rows[1].reason, "connection table full (262144 of 262144)");
    cm_buf_init(&out, CM_METRICS_MAX);
    figures_write(&out, &s, "", &h, facts, &none, 1200);
    assert_non_null(
        strstr(out.data, "\nchatmail_gateway_table_full{gateway=\"edge1\"} 1\n#"));
    assert_non_null(strstr(
        out.data, "\nchatmail_gateway_table_entries{gateway=\"edge1\"} 262144\n#"));
    cm_buf_clear(&out);
    char *text = status_json(&s, "", &h, woken, facts, &none, 1200);
    assert_non_null(strstr(text, "\"table_used\":262144,\"table_max\":262144,"
                                 "\"table_full\":true,\"carried\":false},{"));
    free(text);
    r.counts.table_full = 0;
    health_report(&h, 1, &r, 1300);
    health_judge(&h, &s, 1300, on_change, &seen);
    assert_int_equal(seen.now, HEALTH_UP);
}

static void figures_leave_out_what_is_unknown(void **state)
{
    (void)state;
    struct px_state s = two_gateways();
    struct health h;
    struct px_tunnel_facts half = {
        .handshake_age_s = 3, .rx_bytes = -1, .tx_bytes = -1};
    struct cm_buf out;
    health_init(&h);
    reports(&h, 1, 3, 1000);
    health_judge(&h, &s, 3100, on_change, &(struct changes){0});
    cm_buf_init(&out, CM_METRICS_MAX);
    figures_write(&out, &s, "", &h, facts, &half, 8000);
    assert_non_null(strstr(out.data, "\nchatmail_cluster_epoch 7\n"));
    assert_non_null(strstr(out.data, "\nchatmail_cluster_document_refused 0\n"));
    assert_non_null(strstr(out.data, "\nchatmail_gateway_up{gateway=\"edge1\"} 1\n"
                                     "chatmail_gateway_up{gateway=\"edge2\"} 0\n#"));
    assert_non_null(strstr(out.data,
                           "\nchatmail_gateway_applied_epoch{gateway=\"edge1\"} "
                           "7\n#"));
    assert_non_null(strstr(out.data, "_handshake_age_seconds{gateway=\"edge2\"} 3\n"));
    assert_null(strstr(out.data, "received_bytes_total{"));
    cm_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_up_after_three_and_goes_down_after_silence),
        cmocka_unit_test(a_check_that_fails_impairs),
        cmocka_unit_test(what_a_filter_may_do_is_unknown),
        cmocka_unit_test(what_the_gateway_sees_and_its_handshake),
        cmocka_unit_test(a_full_table_impairs),
        cmocka_unit_test(the_way_to_knock),
        cmocka_unit_test(the_home_line_is_no_tunnel),
        cmocka_unit_test(a_flapping_line_does_not_come_up),
        cmocka_unit_test(the_next_one_takes_over_and_modes_count),
        cmocka_unit_test(the_egress_file_names_what_can_carry),
        cmocka_unit_test(chatmail_dns_is_told_who_serves),
        cmocka_unit_test(without_rules_it_carries_nothing),
        cmocka_unit_test(silence_counts_from_the_beginning),
        cmocka_unit_test(a_removed_gateway_is_forgotten),
        cmocka_unit_test(status_says_unknown_as_minus_one),
        cmocka_unit_test(without_agent_handshake_and_doors_decide),
        cmocka_unit_test(a_gateway_that_gets_an_agent_begins_anew),
        cmocka_unit_test(figures_leave_out_what_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
