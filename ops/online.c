/* chatops test: the table of checks, their accounts, and what is said of them. */
#include "online.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "common/clock.h"
#include "interrupt.h"
#include "reach.h"
#include "say.h"

#define REACH_MS    8000
#define INVITE_USES 8

const struct op_online_check op_online_checks[] = {
    {"certificate", false, "good and the same on all TLS ports", op_online_certificate},
    {"imap", false, "a new account logs in at 993", op_online_imaps},
    {"imap-starttls", false, "again at 143", op_online_imap_starttls},
    {"imap-443", false, "again at 443 by ALPN", op_online_imap_alpn},
    {"imap-refused", false, "a wrong password is refused", op_online_imap_refused},
    {"capabilities", false, "XCHATMAIL and XDELTAPUSH before login",
     op_online_capabilities},
    {"smtp", false, "login at 465", op_online_smtps},
    {"smtp-starttls", false, "login at 587", op_online_submission},
    {"smtp-443", false, "login at 443 by ALPN", op_online_smtp_alpn},
    {"smtp-refused", false, "a wrong password is refused", op_online_smtp_refused},
    {"unencrypted", false, "refused with 523", op_online_unencrypted},
    {"securejoin", false, "taken though not encrypted", op_online_securejoin},
    {"delivery", false, "encrypted, to another account, without traces",
     op_online_delivery},
    {"forged-from", false, "refused with 500", op_online_forged},
    {"other-sender", false, "refused with 553", op_online_other_sender},
    {"metadata", false, "the server's entries are told", op_online_metadata},
    {"quota", false, "visible, and as in chatmail.ini", op_online_quota},
    {"turn", false, "a relayed address for a call", op_online_turn},
    {"page", false, "the relay's page", op_online_page},
    {"redirect", false, "from port 80 to https", op_online_redirect},
    {"autoconfig", false, "where mail programs look", op_online_autoconfig},
    {"mta-sts", false, "the policy", op_online_mta_sts},
    {"new", false, "an account by /new", op_online_new},
    {"starttls", false, "port 25 takes nothing in clear", op_online_starttls},
    {"open-relay", false, "strangers cannot relay", op_online_relay},
    {"vrfy", false, "tells nothing of accounts", op_online_vrfy},
    {"unsigned", false, "no DKIM signature: refused with 554", op_online_unsigned},
    {"parallel", true, "ten first logins of one account at once", op_online_parallel},
    {"rate", true, "too much mail from one: 450", op_online_rate},
    {"second", true, "mail to another relay and back", op_online_second},
    {NULL, false, NULL, NULL},
};

struct wire_to op_online_to(const struct op_online *o, const struct op_entrance *at,
                            int port)
{
    return (struct wire_to){.host = at->address,
                            .port = port,
                            .timeout_ms = OP_ONLINE_STEP_MS,
                            .name = o->conf->is_ip ? NULL : o->conf->mail_domain};
}

/* ---- one check ---- */

static const char *const verdict_names[] = {[OP_ONLINE_GOOD] = "ok",
                                            [OP_ONLINE_WRONG] = "wrong",
                                            [OP_ONLINE_SKIPPED] = "skipped"};

static void say_row(const char *name, enum op_verdict_online v, int64_t ms,
                    const char *said)
{
    static const enum op_colour colours[] = {[OP_ONLINE_GOOD] = OP_GREEN,
                                             [OP_ONLINE_WRONG] = OP_RED,
                                             [OP_ONLINE_SKIPPED] = OP_YELLOW};
    int room = v == OP_ONLINE_WRONG ? OP_ONLINE_SAID : 46;

    op_say(colours[v], "  %-7s %-13s %5.2f s  %.*s", verdict_names[v], name,
           (double)ms / 1000, room, said);
}

/* What a server said goes to a terminal: printable, in one line. */
static void make_plain(char *said)
{
    for (char *p = said; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f) {
            *p = ' ';
        }
    }
}

static void keep_row(struct op_online *o, const char *name,
                     const struct op_entrance *at, enum op_verdict_online v, int64_t ms,
                     const char *said)
{
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s}", "check", name, "gateway",
                            at->gateway, "address", at->address, "result",
                            verdict_names[v], "ms", (json_int_t)ms, "said", said);

    o->good += v == OP_ONLINE_GOOD;
    o->wrong += v == OP_ONLINE_WRONG;
    o->skipped += v == OP_ONLINE_SKIPPED;
    if (op_answer_json()) {
        op_answer_event("check", json_incref(row));
    } else {
        say_row(name, v, ms, said);
    }
    json_array_append_new(o->rows, row);
}

static void check(struct op_online *o, const struct op_online_check *check,
                  const struct op_entrance *at)
{
    char said[OP_ONLINE_SAID] = "";
    int64_t from = cm_now_mono_ms();

    op_busy("  %-13s %s ", check->name, check->what);
    enum op_verdict_online v = check->run(o, at, said);
    op_busy_end();
    if (op_interrupted()) {
        return; /* it says nothing of the relay */
    }
    make_plain(said);
    keep_row(o, check->name, at, v, cm_now_mono_ms() - from, said);
}

/* ---- all of them ---- */

/* Is anything there at all? Else there is one row, instead of one for each time-out. */
static bool reached(struct op_online *o, const struct op_entrance *at)
{
    char said[OP_ONLINE_SAID];
    int64_t from = cm_now_mono_ms();
    enum op_reach r =
        op_reach_tcp(at->address, 993, NULL, REACH_MS, said, sizeof(said));

    if (r == OP_REACH_OK) {
        return true;
    }
    keep_row(o, "reach", at,
             r == OP_REACH_NO_ROUTE ? OP_ONLINE_SKIPPED : OP_ONLINE_WRONG,
             cm_now_mono_ms() - from, said);
    return false;
}

static void check_entrance(struct op_online *o, const struct op_entrance *at,
                           bool first)
{
    if (!op_answer_json()) {
        op_say(OP_PLAIN, "%s %s", at->gateway, at->address);
    }
    if (!reached(o, at)) {
        return;
    }
    for (const struct op_online_check *c = op_online_checks;
         c->name != NULL && !op_interrupted(); c++) {
        if (!c->once || first) {
            check(o, c, at);
        }
    }
}

static void say_end(const struct op_online *o, int64_t ms)
{
    op_answer(json_pack("{s:s, s:I, s:I, s:I, s:O}", "domain", o->conf->mail_domain,
                        "ok", (json_int_t)o->good, "wrong", (json_int_t)o->wrong,
                        "skipped", (json_int_t)o->skipped, "checks", o->rows));
    if (!op_answer_json()) {
        op_say(o->wrong > 0 ? OP_RED : OP_GREEN,
               "%zu checks are well, %zu wrong, %zu skipped (%.1f s)", o->good,
               o->wrong, o->skipped, (double)ms / 1000);
    }
}

static int run_all(struct op_online *o, struct cm_err *err)
{
    struct op_entrance entrances[OP_ENTRANCES_MAX];
    int64_t from = cm_now_mono_ms();
    size_t n;

    if (op_entrances(o->c, entrances, &n, err) != 0 ||
        op_people_open(&o->people, o->c, INVITE_USES, err) != 0) {
        return -1;
    }
    op_people_new(&o->people, o->conf->domain, &o->one);
    op_people_new(&o->people, o->conf->domain, &o->two);
    op_people_new(&o->people, o->conf->domain, &o->busy);
    for (size_t i = 0; i < n && !op_interrupted(); i++) {
        check_entrance(o, &entrances[i], i == 0);
    }
    op_people_close(&o->people);
    say_end(o, cm_now_mono_ms() - from);
    return op_interrupted() ? OP_EXIT_INT : o->wrong > 0 ? OP_EXIT_FAILED : OP_EXIT_OK;
}

int op_test(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    struct op_online o = {
        .c = &c, .conf = &c.conf, .second = cli->second, .rows = json_array()};
    int rc = run_all(&o, err);
    json_decref(o.rows);
    op_cluster_clear(&c);
    return rc;
}
