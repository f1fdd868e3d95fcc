/* The variants that zones come in, at real servers: Knot as primary and as secondary,
 * Unbound as the resolver. */
#include "look.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/mem.h"
#include "dns.h"
#include "dnsfixture/dnsfixture.h"
#include "need/need.h"

#define ORIGIN "example.org."
#define D      "chat.example.org."
#define SOA    "@ SOA ns1 hostmaster 10 3600 600 86400 300\n@ NS ns1\nns1 A 127.0.0.1\n"

static char key[393];
static struct cm_conf conf;

static void wanted(struct op_look *k)
{
    struct op_zone_input in = {.conf = &conf,
                               .dkim_key = key,
                               .acme_account = "https://acme.example/acct/1",
                               .mta_sts_id = "202501010000"};

    *k = (struct op_look){.domain = "chat.example.org", .origin = ORIGIN};
    op_zone_build(&in, &k->zone);
}

/* All that is wanted, but for names and types of `but` ("chat A"), and more instead. */
static char *zone_text(const char *but_name, const char *but_type, const char *more)
{
    struct op_look k;
    struct cm_buf b;

    wanted(&k);
    cm_buf_init(&b, 65536);
    cm_buf_str(&b, SOA);
    for (size_t i = 0; i < k.zone.count; i++) {
        const struct op_record *r = &k.zone.items[i];
        if (strcmp(r->type, OP_REVERSE) != 0 &&
            !(strcmp(r->name, but_name) == 0 &&
              (but_type[0] == '\0' || strcmp(r->type, but_type) == 0))) {
            cm_buf_fmt(&b, "%s %s %s\n", r->name, r->type, r->data);
        }
    }
    cm_buf_str(&b, more);
    op_look_clear(&k);
    return cm_buf_steal(&b);
}

static struct op_server server_of(const struct dnsfixture *fx, const char *name)
{
    struct op_server s = {.address = "127.0.0.1", .port = dnsfixture_port(fx)};

    snprintf(s.name, sizeof(s.name), "%s", name);
    return s;
}

struct play {
    struct dnsfixture *primary, *secondary, *unbound;
    struct op_look k;
};

static void begin(struct play *p, const char *zone)
{
    *p = (struct play){.primary = dnsfixture_knot(ORIGIN, zone)};
    p->unbound = dnsfixture_unbound(ORIGIN, p->primary);
    assert_non_null(p->unbound);
    wanted(&p->k);
    p->k.servers[p->k.server_count++].at = server_of(p->primary, "ns1.example.org");
    p->k.resolver = server_of(p->unbound, "resolver");
    p->k.resolver.recursive = true;
}

static void judge(struct play *p)
{
    struct cm_err err = {.text = ""};

    op_look_probe(&p->k);
    if (op_look_judge(&p->k, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void end(struct play *p)
{
    op_look_clear(&p->k);
    dnsfixture_free(&p->unbound);
    dnsfixture_free(&p->secondary);
    dnsfixture_free(&p->primary);
}

static const struct op_finding *finding(const struct play *p, const char *name,
                                        const char *type)
{
    for (size_t i = 0; i < p->k.count; i++) {
        const struct op_record *r = &p->k.zone.items[p->k.findings[i].first];
        if (strcmp(r->name, name) == 0 && strcmp(r->type, type) == 0) {
            return &p->k.findings[i];
        }
    }
    fail_msg("no %s %s", name, type);
    return NULL;
}

static void expect(const struct play *p, const char *name, const char *type,
                   enum op_verdict verdict, const char *why)
{
    const struct op_finding *f = finding(p, name, type);

    if (f->verdict != verdict || strstr(f->why, why) == NULL) {
        fail_msg("%s %s: %s, why \"%s\", published \"%s\"", name, type,
                 op_verdict_name(f->verdict), f->why, f->published);
    }
}

/* All but the sets named are right; what is reverse is in no zone here. */
static void rest_is_right(const struct play *p, const char *name, const char *type)
{
    for (size_t i = 0; i < p->k.count; i++) {
        const struct op_record *r = &p->k.zone.items[p->k.findings[i].first];
        if (strcmp(r->type, OP_REVERSE) != 0 &&
            (strcmp(r->name, name) != 0 || strcmp(r->type, type) != 0)) {
            expect(p, r->name, r->type, OP_RIGHT, "");
        }
    }
}

/* One zone, one verdict: the rest stays right. */
static void variant(const char *name, const char *type, const char *instead,
                    enum op_verdict verdict, const char *why)
{
    struct play p;
    char *zone = zone_text(name, type, instead);

    begin(&p, zone);
    judge(&p);
    expect(&p, name, type, verdict, why);
    if (verdict == OP_RIGHT || strcmp(type, "A") != 0) {
        rest_is_right(&p, name, type);
    }
    end(&p);
    free(zone);
}

static void test_all_right(void **state)
{
    (void)state;
    struct play p;
    char *zone = zone_text("-", "-", "");

    begin(&p, zone);
    judge(&p);
    rest_is_right(&p, "-", "-");
    end(&p);
    free(zone);
}

static void test_addresses(void **state)
{
    (void)state;
    variant(D, "A", "chat A 198.51.100.11\nchat A 203.0.113.12\nchat A 192.0.2.1\n",
            OP_WRONG, "192.0.2.1 is no gateway");
    variant(D, "A", "chat A 192.0.2.1\nchat A 203.0.113.12\n", OP_WRONG,
            "192.0.2.1 is no gateway; 198.51.100.11 is missing");
    variant(D, "A", "chat A 203.0.113.12\nchat A 198.51.100.11\n", OP_RIGHT, "");
    variant(D, "A", "", OP_MISSING, "");
}

static void test_aliases(void **state)
{
    (void)state;
    variant("www." D, "CNAME", "www.chat CNAME web\nweb CNAME hop\nhop CNAME CHAT\n",
            OP_RIGHT, "");
    variant("www." D, "CNAME",
            "www.chat A 198.51.100.11\nwww.chat A 203.0.113.12\n"
            "www.chat AAAA 2001:db8:1::11\nwww.chat AAAA 2001:db8:2::12\n",
            OP_RIGHT, "");
    variant("www." D, "CNAME", "www.chat CNAME ns1\n", OP_WRONG, "");
    variant("opendkim._domainkey." D, "TXT", "opendkim._domainkey.chat CNAME k1\n",
            OP_MISSING, "");
}

/* Nothing but an alias may be at the domain itself. */
static void test_apex_alias(void **state)
{
    struct play p;

    (void)state;
    begin(&p, SOA "chat CNAME host\nhost A 198.51.100.11\nhost A 203.0.113.12\n");
    judge(&p);
    expect(&p, D, "A", OP_WRONG, "is an alias (CNAME) of host.example.org.");
    expect(&p, D, "MX", OP_WRONG, "is an alias (CNAME)");
    end(&p);
}

static void test_texts(void **state)
{
    char *split = cm_asprintf("OpenDKIM._DomainKey.CHAT TXT \"v=DKIM1; p=%.90s\" "
                              "\"%.200s\" \" %s; k=rsa\"\n",
                              key, key + 90, key + 290);

    (void)state;
    variant("opendkim._domainkey." D, "TXT", split, OP_RIGHT, "");
    variant(
        "_dmarc." D, "TXT",
        "_DMARC.chat TXT \"v=DMARC1; p=Reject; aspf=s; adkim=s; rua=mailto:a@b.c\"\n"
        "_dmarc.chat TXT \"somebody else's\"\n",
        OP_RIGHT, "");
    variant(D, "TXT",
            "chat TXT \"v=spf1 ip4:198.51.100.0/24 ip4:203.0.113.12 "
            "ip6:2001:db8::/32 -all\"\nchat TXT \"google=1\"\n",
            OP_RIGHT, "");
    variant(D, "TXT",
            "chat TXT \"v=spf1 include:spf.example.org -all\"\n"
            "spf TXT \"v=spf1 ip4:198.51.100.11 ip6:2001:db8:1::11 ~all\"\n",
            OP_WRONG, "mail from 203.0.113.12 gets \"fail\"");
    variant(D, "TXT", "chat TXT \"v=spf1 a -all\"\nchat TXT \"v=spf1 mx -all\"\n",
            OP_WRONG, "there are several");
    variant(D, "CAA",
            "chat CAA 0 issue \"letsencrypt.org; accounturi=https://acme.example/2\"\n",
            OP_WRONG, "");
    /* Any account of that CA could have a certificate. */
    variant(
        D, "CAA",
        "chat CAA 0 issue \"letsencrypt.org; accounturi=https://acme.example/acct/1\"\n"
        "chat CAA 0 issue \"LetsEncrypt.org\"\n",
        OP_WRONG, "");
    variant(
        D, "CAA",
        "chat CAA 0 issue \"letsencrypt.org; accounturi=https://acme.example/acct/1\"\n"
        "chat CAA 0 issue \"elsewhere.example\"\nchat CAA 0 iodef \"mailto:a@b.c\"\n",
        OP_RIGHT, "");
    free(split);
}

/* The resolver keeps what was there; the server has it since. */
static void test_not_yet_visible(void **state)
{
    struct play p;
    struct op_answers a;
    struct cm_err err = {.text = ""};
    struct dns_primary primary = {.host = "127.0.0.1", .zone = ORIGIN};
    const struct dns_key k = {DNSFIXTURE_KEY, "hmac-sha256", DNSFIXTURE_SECRET};
    const struct dns_change changes[] = {{false, D, "A", "192.0.2.1", 0},
                                         {true, D, "A", "198.51.100.11", 60},
                                         {true, D, "A", "203.0.113.12", 60}};
    char *zone = zone_text(D, "A", "chat 200 A 192.0.2.1\n");

    (void)state;
    begin(&p, zone);
    judge(&p);
    expect(&p, D, "A", OP_WRONG, "");
    assert_int_equal(op_resolve(&p.k.resolver, D, "A", &a, &err), 0);
    assert_int_equal(a.count, 1);
    op_answers_clear(&a);
    primary.port = dnsfixture_port(p.primary);
    assert_int_equal(dns_update(&primary, &k, changes, 3, &err), 0);
    judge(&p);
    expect(&p, D, "A", OP_NOT_YET, "a resolver keeps what was there for ");
    const struct op_finding *f = finding(&p, D, "A");
    assert_in_range(f->ttl_s, 150, 200);
    assert_string_equal(f->published, "192.0.2.1");
    assert_int_equal(op_look_bad(&p.k, true), 0);
    end(&p);
    free(zone);
}

/* A secondary that no longer hears of changes; the primary is hidden. */
static void test_stale_secondary(void **state)
{
    struct play p;
    struct cm_err err = {.text = ""};
    struct dns_primary primary = {.host = "127.0.0.1", .zone = ORIGIN};
    const struct dns_key k = {DNSFIXTURE_KEY, "hmac-sha256", DNSFIXTURE_SECRET};
    const struct dns_change add[] = {{true, D, "MX", "10 " D, 60}};
    char *zone = zone_text(D, "MX", "");

    (void)state;
    begin(&p, zone);
    p.secondary = dnsfixture_secondary(ORIGIN, p.primary);
    p.k.servers[p.k.server_count++].at = server_of(p.secondary, "ns2.example.net");
    p.k.servers[0].hidden = true;
    judge(&p);
    expect(&p, D, "MX", OP_MISSING, "");
    primary.port = dnsfixture_port(p.primary);
    assert_int_equal(dns_update(&primary, &k, add, 1, &err), 0);
    judge(&p);
    assert_true(p.k.servers[1].stale);
    assert_int_equal(p.k.servers[1].serial, 10);
    expect(
        &p, D, "MX", OP_NOT_YET,
        "right on 1 of 2 servers; ns2.example.net (127.0.0.1) has an old serial, 10");
    rest_is_right(&p, D, "MX");
    end(&p);
    free(zone);
}

/* Neither a server that is silent nor one that is not for this zone stops the rest. */
static void test_silent_and_lame(void **state)
{
    struct play p;
    struct dnsfixture *lame = dnsfixture_knot("example.net.", SOA);
    char *zone = zone_text("-", "-", "");

    (void)state;
    begin(&p, zone);
    p.k.servers[p.k.server_count++].at = server_of(lame, "ns3.example.net");
    p.k.servers[p.k.server_count].at = server_of(lame, "ns4.example.net");
    p.k.servers[p.k.server_count++].at.port = 1;
    judge(&p);
    assert_true(p.k.servers[0].answers);
    assert_false(p.k.servers[1].answers);
    assert_false(p.k.servers[2].answers);
    assert_non_null(strstr(p.k.servers[1].why, "ns3.example.net 127.0.0.1"));
    assert_non_null(strstr(p.k.servers[2].why, "does not answer"));
    rest_is_right(&p, "-", "-");
    end(&p);
    dnsfixture_free(&lame);
    free(zone);
}

/* A zone's NS that has no address is told, and asked of nobody. */
static void test_lost_server(void **state)
{
    struct play p;
    struct cm_err err;
    char *zone = zone_text("-", "-", "@ NS gone\n@ NS gone.example.net.\n");

    (void)state;
    begin(&p, zone);
    p.k.server_count = 0;
    assert_int_equal(op_look_servers(&p.k, NULL, &err), 0);
    assert_int_equal(p.k.server_count, 3);
    assert_string_equal(p.k.servers[0].at.name, "ns1.example.org.");
    assert_string_equal(p.k.servers[0].at.address, "127.0.0.1");
    for (size_t i = 1; i < 3; i++) {
        assert_true(p.k.servers[i].lost);
        assert_false(p.k.servers[i].answers);
        assert_non_null(strstr(p.k.servers[i].why, "no address is known of gone."));
    }
    end(&p);
    free(zone);
}

/* From nothing, and from a zone that is wrong in every way, to all right; then nothing
 * is left to do, and what was somebody else's is still there. */
static void apply_to(const char *zone, size_t least)
{
    struct play p;
    struct cm_err err = {.text = ""};
    struct op_dns_plan plan;
    struct op_dns_primary primary = {
        .at = {.host = "127.0.0.1"},
        .key = {DNSFIXTURE_KEY, "hmac-sha256", DNSFIXTURE_SECRET}};

    begin(&p, zone);
    primary.server = server_of(p.primary, "primary");
    primary.at.port = primary.server.port;
    if (dns_find_zone(&primary.at, "chat.example.org", &err) != 0 ||
        op_dns_plan(&p.k, &primary, &plan, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_true(plan.count >= least);
    if (dns_update(&primary.at, &primary.key, plan.items, plan.count, &err) != 0) {
        fail_msg("%s", err.text);
    }
    op_dns_plan_clear(&plan);
    assert_int_equal(op_dns_plan(&p.k, &primary, &plan, &err), 0);
    assert_int_equal(plan.count, 0);
    op_dns_plan_clear(&plan);
    judge(&p);
    assert_int_equal(op_look_bad(&p.k, true), 0);
    struct op_answers a;
    assert_int_equal(op_resolve(&primary.server, D, "TXT", &a, &err), 0);
    bool kept = false;
    for (size_t i = 0; i < a.count; i++) {
        kept |= strcmp(a.items[i], "\"google=1\"") == 0;
    }
    assert_true(kept);
    op_answers_clear(&a);
    end(&p);
}

static void test_apply(void **state)
{
    (void)state;
    apply_to(SOA "chat TXT \"google=1\"\n", 16);
    apply_to(SOA
             "chat TXT \"google=1\"\nchat TXT \"v=spf1 -all\"\n"
             "chat TXT \"v=spf1 mx ?all\"\nchat A 192.0.2.1\nwww.chat A 192.0.2.1\n"
             "mta-sts.chat CNAME ns1\nchat MX 20 old.example.org.\n"
             "chat CAA 0 issue \"letsencrypt.org;accounturi=https://acme.example/2\"\n"
             "_imaps._tcp.chat SRV 0 1 143 chat\n",
             20);
}

/* A PTR to the mail name, and the name back. The reverse zone is asked at a resolver.
 */
static void reverse(const char *but, const char *instead, enum op_verdict verdict,
                    const char *why)
{
    struct play p;
    struct dnsfixture *there = dnsfixture_knot(
        "100.51.198.in-addr.arpa.",
        "@ SOA ns.example.org. h.example.org. 1 60 60 600 60\n@ NS ns.example.org.\n"
        "11 PTR vps7.hoster.example.\n11 PTR Chat.Example.ORG.\n");
    char *zone = zone_text(but, "A", instead);
    static const char name[] = "11.100.51.198.in-addr.arpa.";
    struct op_finding f;
    struct op_answers a;
    struct cm_err err;

    begin(&p, zone);
    size_t i = 0;
    while (strcmp(p.k.zone.items[i].name, name) != 0) {
        i++;
    }
    const struct op_server at = server_of(there, "reverse");
    assert_int_equal(op_look_at(&p.k, &at, i, &f, &a, &err), 0);
    assert_int_equal(f.verdict, OP_RIGHT);
    op_answers_clear(&a);
    op_look_forward(&p.k, &f);
    assert_int_equal(f.verdict, verdict);
    assert_non_null(strstr(f.why, why));
    end(&p);
    dnsfixture_free(&there);
    free(zone);
}

static void test_reverse(void **state)
{
    (void)state;
    reverse("-", "", OP_RIGHT, "");
    reverse(D, "chat A 203.0.113.12\n", OP_WRONG, "does not lead back to it");
}

static int start(void **state)
{
    static const char text[] = "[params]\nmail_domain = chat.example.org\n"
                               "[gateway edge1]\nssh = root@198.51.100.11\nnumber = 1\n"
                               "addresses = 198.51.100.11 2001:db8:1::11\n"
                               "[gateway edge2]\nssh = root@203.0.113.12\nnumber = 2\n"
                               "addresses = 203.0.113.12 2001:db8:2::12\n";
    struct cm_err err;
    struct dnsfixture *knot = dnsfixture_knot(ORIGIN, SOA);
    struct dnsfixture *unbound = knot != NULL ? dnsfixture_unbound(ORIGIN, knot) : NULL;

    memset(key, 'A', sizeof(key) - 1);
    assert_int_equal(cm_conf_parse("test.ini", text, strlen(text), &conf, &err), 0);
    *state = unbound != NULL ? &conf : NULL;
    dnsfixture_free(&unbound);
    dnsfixture_free(&knot);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cm_conf_clear(&conf);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_all_right, need),
        cmocka_unit_test_setup(test_addresses, need),
        cmocka_unit_test_setup(test_aliases, need),
        cmocka_unit_test_setup(test_apex_alias, need),
        cmocka_unit_test_setup(test_texts, need),
        cmocka_unit_test_setup(test_not_yet_visible, need),
        cmocka_unit_test_setup(test_stale_secondary, need),
        cmocka_unit_test_setup(test_silent_and_lame, need),
        cmocka_unit_test_setup(test_lost_server, need),
        cmocka_unit_test_setup(test_apply, need),
        cmocka_unit_test_setup(test_reverse, need),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
