/* What a store said, as a screen (golden files in ops/testdata/status;
 * PORTICO_GOLDEN_UPDATE=1 writes them), as JSON, as bytes for a terminal; which hop a
 * probe is stuck at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "status.h"

static const char ini[] = "[params]\nmail_domain = chat.example.org\n"
                          "[store]\necho_core = /x\n"
                          "[gateway edge1]\nnumber = 1\naddresses = 198.51.100.11 "
                          "2001:db8:1::11\n"
                          "[gateway edge2]\nnumber = 2\naddresses = 203.0.113.12\n";

#define ROW(name, mode, age, egress) ROW_OF(name, mode, age, egress, "true")
#define ROW_OF(name, mode, age, egress, carried)                                       \
    "{\"name\":\"" name "\",\"mode\":\"" mode "\",\"applied_epoch\":12,"               \
    "\"report_age_ms\":" age ",\"handshake_age_s\":44,\"flows\":212,\"health\":"       \
    "\"up\",\"egress\":\"" egress "\",\"error\":\"\",\"agent\":true,"                  \
    "\"carried\":" carried "}"
#define CLUSTER(rows)                                                                  \
    "cluster {\"epoch\":12,\"refused\":\"\",\"gateways\":[" rows "]}\n"
#define WELL                                                                           \
    "unit postfix@-.service active\nunit dovecot.service active\n"                     \
    "run chatmail-expire.service success\nsigner outgoing mail of x\nqueue 3\n"        \
    "waiting 2 relay2.example connect to relay2.example[203.0.113.77]:25: \\\"timed "  \
    "out\\\"\nwaiting 1 other.example is being delivered\npush 0 12\n"                 \
    "disk / 31000000000 41\ndisk /home/vmail 812000000 88\nbackup -1 s\n"              \
    "plugin chatmail_idle loaded: 2.3.19\nplugin chatmail_push loaded: 2.3.19\n"       \
    "invite echo https://i.example/#abc\npackage portico-store 0.1.0\n"                \
    "package postfix 3.7.11-0+deb12u1\npackage dovecot-core "                          \
    "1:2.3.19.1+dfsg1-2\n" CLUSTER(ROW("edge1", "active", "900", "active") "," ROW(    \
        "edge2", "active", "1400", "standby"))

struct stand {
    struct op_cli cli;
    struct op_cluster c;
    struct op_node nodes[3];
    struct op_report r;
};

static void stand_up(struct stand *s, const char *said)
{
    struct cm_err err;
    *s = (struct stand){.cli = {.config = "chatmail.ini"}};
    assert_int_equal(cm_conf_parse("x", ini, strlen(ini), &s->c.conf, &err), 0);
    s->c.cli = &s->cli;
    s->c.nodes = s->nodes;
    s->c.node_count = 3;
    for (size_t i = 0; i < 3; i++) {
        s->nodes[i].gateway = i > 0 ? &s->c.conf.gateways[i - 1] : NULL;
        s->nodes[i].skipped = true;
        snprintf(s->nodes[i].host.name, sizeof(s->nodes[i].host.name), "%s",
                 i > 0 ? s->c.conf.gateways[i - 1].name : "store");
    }
    op_report_init(&s->r, &s->c);
    char *text = cm_strdup(said);
    op_report_take(&s->r, text);
    free(text);
}

static void stand_down(struct stand *s)
{
    op_report_clear(&s->r);
    cm_conf_clear(&s->c.conf);
}

static void probe_done(struct stand *s, int64_t ms)
{
    op_ring_plan(&s->r.ring, &s->c, s->r.cluster);
    for (size_t i = 0; i < s->r.ring.count; i++) {
        s->r.ring.pairs[i].stage = OP_STAGE_DONE;
        s->r.ring.pairs[i].ms = ms;
        s->r.ring.pairs[i].accepted_ms = ms / 2;
        s->r.ring.pairs[i].cert_end_s[0] = s->r.ring.pairs[i].cert_end_s[1] = -1;
    }
    s->r.probed = true;
}

static void assert_golden(const struct op_report *r, bool all, const char *name)
{
    struct op_screen screen = {.count = 0};
    struct cm_err err;
    struct cm_buf b;
    char *want,
        *path = cm_asprintf("%s/status/%s", getenv("PORTICO_TESTDATA_DIR"), name);
    cm_buf_init(&b, 65536);
    op_report_screen(r, all, &screen);
    for (size_t i = 0; i < screen.count; i++) {
        if (strncmp(screen.lines[i].text, "wrong: ", 7) != 0)
            assert_true(strlen(screen.lines[i].text) <= 80);
        cm_buf_fmt(&b, "%d %s\n", screen.lines[i].colour, screen.lines[i].text);
    }
    if (getenv("PORTICO_GOLDEN_UPDATE") != NULL)
        assert_int_equal(cm_file_replace(path, b.data, b.len, 0644, &err), 0);
    assert_int_equal(cm_file_read(path, 65536, &want, NULL, &err), 1);
    assert_string_equal(b.data, want);
    free(want);
    free(path);
    cm_buf_clear(&b);
    op_screen_clear(&screen);
}

static bool is_wrong(const struct op_report *r, const char *words)
{
    for (size_t i = 0; i < r->wrong_count; i++) {
        if (strstr(r->wrong[i], words) != NULL)
            return true;
    }
    return false;
}

static void well(void **state)
{
    (void)state;
    struct stand s;
    stand_up(&s, WELL);
    probe_done(&s, 210);
    op_report_judge(&s.r);
    assert_int_equal(s.r.wrong_count, 0);
    assert_golden(&s.r, false, "well.txt");
    assert_golden(&s.r, true, "well-all.txt");
    json_t *o = op_report_json(&s.r);
    assert_true(json_is_true(json_object_get(o, "ok")));
    json_t *pair =
        json_array_get(json_object_get(json_object_get(o, "probe"), "pairs"), 1);
    assert_string_equal(op_report_text(pair, "in"), "edge2");
    assert_string_equal(op_report_text(pair, "out"), "edge1");
    assert_string_equal(op_report_text(pair, "colour"), "green");
    json_t *first = json_array_get(json_object_get(o, "queue_waiting"), 0);
    assert_string_equal(op_report_text(first, "destination"), "relay2.example");
    assert_string_equal(op_report_text(first, "reason"),
                        "connect to relay2.example[203.0.113.77]:25: \"timed out\"");
    json_decref(o);
    stand_down(&s);
}

static void colours(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *colour;
    } cases[] = {{0, "green"},
                 {999, "green"},
                 {1000, "yellow"},
                 {9999, "yellow"},
                 {10000, "red"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stand s;
        stand_up(&s, WELL);
        probe_done(&s, cases[i].ms);
        op_report_judge(&s.r);
        json_t *o = op_report_json(&s.r);
        json_t *pair =
            json_array_get(json_object_get(json_object_get(o, "probe"), "pairs"), 0);
        assert_string_equal(op_report_text(pair, "colour"), cases[i].colour);
        assert_int_equal(json_is_false(json_object_get(o, "ok")), cases[i].ms >= 10000);
        json_decref(o);
        stand_down(&s);
    }
}

static void trouble(void **state)
{
    (void)state;
    struct stand s;
    stand_up(&s, "unit postfix@-.service inactive\nunit dovecot.service active\n"
                 "unit chatmail-push.service active\nunit chatmail-web.service failed\n"
                 "silent chatmail-push -\nsilent chatmail-web -\n"
                 "queue 3\npush -1 -1\ndisk / 1000 97\nbackup 200000 s\n"
                 "plugin chatmail_idle loaded: x\nplugin chatmail_push lua: x\n"
                 "package portico-store 0.1.0\n" CLUSTER(
                     ROW_OF("edge1", "active", "900", "active",
                            "false") "," ROW("edge2", "active", "1400", "standby")));
    op_ring_plan(&s.r.ring, &s.c, s.r.cluster);
    assert_int_equal(s.r.ring.count, 2);
    for (size_t i = 0; i < 2; i++) {
        struct op_pair *p = &s.r.ring.pairs[i];
        p->stage = OP_STAGE_SEND_OPEN;
        p->reach = OP_REACH_BAD;
        p->hop = OP_HOP_POSTFIX;
        p->cert_end_s[0] = p->cert_end_s[1] = -1;
        snprintf(p->said, sizeof(p->said), "%s port 465: Connection refused",
                 p->in_address);
    }
    s.r.probed = true;
    op_report_judge(&s.r);
    assert_true(is_wrong(&s.r, "Postfix: 198.51.100.11 port 465: Connection refused"));
    assert_true(is_wrong(&s.r, "postfix@-.service is inactive"));
    assert_true(is_wrong(&s.r, "chatmail-push runs and does not answer"));
    assert_false(is_wrong(&s.r, "chatmail-web runs"));
    assert_true(is_wrong(&s.r, "disk / of the store is 97 % full"));
    assert_true(is_wrong(&s.r, "the last backup is 55 h old"));
    assert_golden(&s.r, false, "trouble.txt");
    stand_down(&s);
}

/* A phone whose service is gone makes nobody else's pushes late, on a quiet relay too.
 */
static void push_late(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool red;
    } cases[] = {{"push -1 4000 -1\n", false},  {"push 12 400 12\n", false},
                 {"push 1320 305 -1\n", false}, {"push 1320 305 290\n", false},
                 {"push 400 1500 400\n", true}, {"push 9000 1500 301\n", true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stand s;
        char said[40];
        snprintf(said, sizeof(said), "%s", cases[i].line);
        stand_up(&s, said);
        op_report_judge(&s.r);
        assert_int_equal(is_wrong(&s.r, "no notification got through"), cases[i].red);
        stand_down(&s);
    }
}

/* Once, and not again as what the store calls impaired. */
static void full_table(void **state)
{
    (void)state;
    static const struct {
        const char *row, *words;
        size_t count;
    } cases[] = {{",\"table_used\":262144,\"table_max\":262144,\"table_full\":true",
                  "edge1: connection table full (262144 of 262144)", 1},
                 {",\"table_used\":240000,\"table_max\":262144,\"table_full\":false",
                  "edge1: connection table 91 % full (240000 of 262144)", 2},
                 {",\"table_used\":100,\"table_max\":262144,\"table_full\":false",
                  "edge1 is impaired: ", 1},
                 {",\"table_used\":-1,\"table_max\":-1,\"table_full\":false",
                  "edge1 is impaired: ", 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stand s;
        char *said = cm_asprintf(
            "%s" CLUSTER("{\"name\":\"edge1\",\"mode\":\"active\",\"applied_epoch\":"
                         "12,\"report_age_ms\":900,\"handshake_age_s\":44,\"health\":"
                         "\"impaired\",\"agent\":true%s}," ROW("edge2", "active", "900",
                                                               "active")),
            WELL, cases[i].row);
        stand_up(&s, said);
        op_report_judge(&s.r);
        if (!is_wrong(&s.r, cases[i].words) || s.r.wrong_count != cases[i].count) {
            fail_msg("case %zu: %zu wrong, the first: %s", i, s.r.wrong_count,
                     s.r.wrong_count > 0 ? s.r.wrong[0] : "-");
        }
        stand_down(&s);
        free(said);
    }
}

/* A drained gateway is no way in; what a store without answer leaves is asked anyway.
 */
static void ring(void **state)
{
    (void)state;
    struct stand s;
    stand_up(&s, CLUSTER(ROW("edge1", "drain", "900", "-") "," ROW("edge2", "active",
                                                                   "9000", "-")));
    op_ring_plan(&s.r.ring, &s.c, s.r.cluster);
    assert_int_equal(s.r.ring.count, 1);
    assert_string_equal(s.r.ring.pairs[0].in, "edge2");
    assert_string_equal(s.r.ring.pairs[0].out, "edge2");
    assert_true(op_ring_tunnel(s.r.cluster, "edge1"));
    assert_false(op_ring_tunnel(s.r.cluster, "edge2"));
    assert_false(op_ring_tunnel(s.r.cluster, "edge3"));
    op_ring_plan(&s.r.ring, &s.c, NULL);
    assert_int_equal(s.r.ring.count, 2);
    stand_down(&s);
}

#define UP                                                                             \
    .known = true, .tunnel = true, .postfix = true, .filter = true, .dovecot = true,   \
    .auth = true

static void hops(void **state)
{
    (void)state;
    static const struct {
        enum op_stage stage;
        enum op_reach reach;
        const char *said;
        struct op_probe_facts facts;
        enum op_hop want;
    } cases[] = {
        {OP_STAGE_SEND_OPEN, OP_REACH_TIMEOUT, "", {UP}, OP_HOP_LINE},
        {OP_STAGE_SEND_OPEN, OP_REACH_NO_ROUTE, "", {UP}, OP_HOP_LINE},
        {OP_STAGE_SEND_OPEN, OP_REACH_TIMEOUT, "", {.known = false}, OP_HOP_LINE},
        {OP_STAGE_SEND_OPEN, OP_REACH_BAD, "", {UP}, OP_HOP_POSTFIX},
        {OP_STAGE_READ_OPEN, OP_REACH_BAD, "", {UP}, OP_HOP_IMAP},
        /* The tunnel is cut: the gateway refuses, or does not yet; or it is gone. */
        {OP_STAGE_SEND_OPEN, OP_REACH_BAD, "", {.known = true}, OP_HOP_TUNNEL},
        {OP_STAGE_READ_OPEN,
         OP_REACH_TIMEOUT,
         "",
         {.known = true, .box = true},
         OP_HOP_TUNNEL},
        {OP_STAGE_READ_OPEN,
         OP_REACH_OK,
         "TLS: no answer",
         {.known = true},
         OP_HOP_TUNNEL},
        {OP_STAGE_READ_OPEN, OP_REACH_TIMEOUT, "", {.known = true}, OP_HOP_LINE},
        {OP_STAGE_SEND_LOGIN, OP_REACH_OK, "454 4.7.0 no", {UP}, OP_HOP_LOGIN},
        {OP_STAGE_SEND_OPEN,
         OP_REACH_OK,
         "no answer",
         {.known = true, .tunnel = true, .postfix = true},
         OP_HOP_FILTER},
        {OP_STAGE_SEND_OPEN, OP_REACH_OK, "no answer", {UP}, OP_HOP_POSTFIX},
        {OP_STAGE_SEND_LOGIN,
         OP_REACH_OK,
         "454 4.3.0 Try again later",
         {UP},
         OP_HOP_FILTER},
        {OP_STAGE_SEND,
         OP_REACH_OK,
         "451 4.7.1 Service unavailable",
         {UP},
         OP_HOP_FILTER},
        {OP_STAGE_SEND,
         OP_REACH_OK,
         "no answer",
         {.known = true, .postfix = true, .dovecot = true},
         OP_HOP_FILTER},
        {OP_STAGE_SEND, OP_REACH_OK, "452 4.3.1 no room", {UP}, OP_HOP_POSTFIX},
        {OP_STAGE_ARRIVE,
         OP_REACH_OK,
         "",
         {UP, .queued = true,
          .reason = "connect to chat.example.org[private/dovecot-lmtp]: refused"},
         OP_HOP_LMTP},
        {OP_STAGE_ARRIVE,
         OP_REACH_OK,
         "",
         {UP, .queued = true, .reason = "active"},
         OP_HOP_QUEUE},
        {OP_STAGE_ARRIVE, OP_REACH_OK, "", {UP}, OP_HOP_IMAP},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct op_pair p = {.in = "edge1",
                            .out = "edge2",
                            .stage = cases[i].stage,
                            .reach = cases[i].reach};
        snprintf(p.said, sizeof(p.said), "%s", cases[i].said);
        if (op_probe_blame(&p, &cases[i].facts) != cases[i].want)
            fail_msg("case %zu: %s", i,
                     op_hop_name(op_probe_blame(&p, &cases[i].facts)));
    }
}

static void named(void **state)
{
    (void)state;
    char text[400];
    struct op_pair p = {.in = "edge1",
                        .out = "edge2",
                        .stage = OP_STAGE_READ_OPEN,
                        .hop = OP_HOP_TUNNEL,
                        .said = "no answer"};
    op_probe_wrong(&p, text, sizeof(text));
    assert_string_equal(text, "edge2 -> store tunnel: no answer");
    p.stage = OP_STAGE_SEND_OPEN;
    p.hop = OP_HOP_LINE;
    op_probe_wrong(&p, text, sizeof(text));
    assert_string_equal(text, "this machine -> edge1: no answer");
    p.stage = OP_STAGE_ARRIVE;
    p.hop = OP_HOP_LMTP;
    op_probe_wrong(&p, text, sizeof(text));
    assert_string_equal(text, "Dovecot LMTP: no answer");
    p.stage = OP_STAGE_DONE;
    p.ms = 9999;
    op_probe_wrong(&p, text, sizeof(text));
    assert_string_equal(text, "");
}

static void facts(void **state)
{
    (void)state;
    struct op_probe_facts f = {.known = false};
    char text[] =
        "unit postfix@-.service active\nunit chatmail-filter-out.service "
        "active\nunit chatmail-filter-out.socket failed\nunit dovecot.service "
        "inactive\nunit chatmail-auth.service active\nsilent chatmail-auth -\nwait "
        "connect to lmtp\n";
    op_ring_take_facts(text, &f);
    assert_true(f.known && f.postfix && f.queued);
    assert_false(f.filter || f.dovecot || f.auth);
    assert_string_equal(f.reason, "connect to lmtp");
}

static void frame(void **state)
{
    (void)state;
    struct op_screen s = {.count = 0};
    struct cm_buf b;
    cm_buf_init(&b, 4096);
    op_screen_add(&s, OP_PLAIN, "one");
    op_screen_add(&s, OP_RED, "t\033[2Jwo and too long");
    op_screen_add(&s, OP_PLAIN, "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4\xc3\xb6");
    op_screen_frame(&s, 3, 6, true, &b);
    assert_string_equal(b.data, "\033[Hone\033[K\r\n\033[31mt?[2J\033[0m\033[K\r\n"
                                "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4\033[K\033[J");
    cm_buf_reset(&b);
    op_screen_frame(&s, 2, 80, false, &b);
    assert_string_equal(b.data, "\033[Hone\033[K\r\n... 2 more lines\033[K\033[J");
    cm_buf_clear(&b);
    op_screen_clear(&s);
}

static void message(void **state)
{
    (void)state;
    char *text = op_probe_text("a@b.example", "id@b.example");
    assert_non_null(strstr(text, "Message-ID: <id@b.example>\r\n"));
    assert_non_null(strstr(text, "Content-Type: multipart/encrypted;"));
    assert_null(strstr(text, "\r\n.")); /* no dot to be doubled */
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well),       cmocka_unit_test(colours),
        cmocka_unit_test(trouble),    cmocka_unit_test(push_late),
        cmocka_unit_test(full_table), cmocka_unit_test(ring),
        cmocka_unit_test(hops),       cmocka_unit_test(named),
        cmocka_unit_test(facts),      cmocka_unit_test(frame),
        cmocka_unit_test(message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
