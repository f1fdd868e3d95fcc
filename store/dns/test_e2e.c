/* The daemon whole, against a real Knot: a drained gateway's addresses leave, and come
 * back; the last one stays; foreign records stay; a key that is refused changes
 * nothing. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <ldns/ldns.h>

#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"
#include "dnsfixture/dnsfixture.h"
#include "need/need.h"

#define D "chat.example.org."
#define ZONE                                                                           \
    "@ SOA ns.example.org. h.example.org. 1 3600 600 86400 300\n@ NS ns\n"             \
    "ns A 127.0.0.1\nchat 3600 A 198.51.100.11\nchat A 203.0.113.12\n"                 \
    "chat AAAA 2001:db8:1::11\nchat TXT \"somebody else's\"\n"
#define ONE "edge1 %s 198.51.100.11 2001:db8:1::11\n"
#define TWO "edge2 %s 203.0.113.12\n"

struct world {
    struct dnsfixture *knot;
    char dir[64], ini[96], key[96], feed[96], log[96], metrics[96];
    int listener;
    pid_t pid;
};

static void spill(const char *path, const char *text)
{
    struct cm_err err;
    assert_int_equal(cm_file_replace(path, text, strlen(text), 0600, &err), 0);
}

static void gateways(const struct world *w, const char *one, const char *two)
{
    char text[512];

    snprintf(text, sizeof(text), "domain chat.example.org\n" ONE TWO, one, two);
    spill(w->feed, text);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "198.51.100.11 203.0.113.12", as the server says now. */
static void published(const struct world *w, ldns_rr_type type, char *out, size_t size)
{
    ldns_resolver *r = ldns_resolver_new();
    ldns_rdf *at = ldns_rdf_new_frm_str(LDNS_RDF_TYPE_A, "127.0.0.1");
    ldns_rdf *name = ldns_dname_new_frm_str(D);
    char *words[16];
    size_t n = 0;

    ldns_resolver_push_nameserver(r, at);
    ldns_resolver_set_port(r, dnsfixture_port(w->knot));
    ldns_pkt *pkt = ldns_resolver_query(r, name, type, LDNS_RR_CLASS_IN, 0);
    assert_non_null(pkt);
    for (size_t i = 0; i < ldns_rr_list_rr_count(ldns_pkt_answer(pkt)) && i < 16; i++) {
        words[n++] =
            ldns_rdf2str(ldns_rr_rdf(ldns_rr_list_rr(ldns_pkt_answer(pkt), i), 0));
    }
    qsort(words, n, sizeof(words[0]), compare);
    out[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(out);
        snprintf(out + len, size - len, "%s%s", i > 0 ? " " : "", words[i]);
        free(words[i]);
    }
    ldns_pkt_free(pkt);
    ldns_rdf_deep_free(name);
    ldns_rdf_deep_free(at);
    ldns_resolver_deep_free(r);
}

static void comes(const struct world *w, ldns_rr_type type, const char *wanted)
{
    char have[256];

    for (int i = 0; i < 200; i++) {
        published(w, type, have, sizeof(have));
        if (strcmp(have, wanted) == 0) {
            return;
        }
        usleep(50000);
    }
    fail_msg("%s, not %s", have, wanted);
}

static void begin(struct world *w, const char *secret)
{
    char text[512];

    daemonkit_dir(w->dir, "dns");
    daemonkit_path(w->ini, w->dir, "chatmail.ini");
    daemonkit_path(w->key, w->dir, "key");
    daemonkit_path(w->feed, w->dir, "gateways");
    daemonkit_path(w->log, w->dir, "log");
    daemonkit_path(w->metrics, w->dir, "metrics");
    snprintf(text, sizeof(text),
             "[params]\nmail_domain = chat.example.org\n[store]\n"
             "dns_server = 127.0.0.1@%u\ndns_follow = yes\ndns_settle = 1\n",
             dnsfixture_port(w->knot));
    spill(w->ini, text);
    snprintf(text, sizeof(text),
             "key \"" DNSFIXTURE_KEY "\" { algorithm hmac-sha256; secret \"%s\"; };\n",
             secret);
    spill(w->key, text);
    const char *argv[] = {DNS_PROGRAM, "--config",   w->ini,  "--key",
                          w->key,      "--gateways", w->feed, NULL};
    w->listener = daemonkit_listen(w->metrics);
    w->pid = daemonkit_start(argv, w->listener, "metrics", w->log);
}

static void end(struct world *w)
{
    assert_int_equal(daemonkit_stop(w->pid, SIGTERM), 0);
    close(w->listener);
    daemonkit_dir_remove(w->dir);
}

static void test_follows(void **state)
{
    struct world w = {.knot = *state};
    char text[256];

    begin(&w, DNSFIXTURE_SECRET);
    gateways(&w, "active up", "active up");
    sleep(2);
    gateways(&w, "drain up", "active up");
    comes(&w, LDNS_RR_TYPE_A, "203.0.113.12");
    comes(&w, LDNS_RR_TYPE_AAAA, "");
    gateways(&w, "active up", "active up");
    comes(&w, LDNS_RR_TYPE_A, "198.51.100.11 203.0.113.12");
    comes(&w, LDNS_RR_TYPE_AAAA, "2001:db8:1::11");
    gateways(&w, "active up", "active down");
    comes(&w, LDNS_RR_TYPE_A, "198.51.100.11");
    gateways(&w, "active down", "active down");
    sleep(3);
    published(&w, LDNS_RR_TYPE_A, text, sizeof(text));
    assert_string_equal(text, "198.51.100.11");
    gateways(&w, "active down", "active up");
    comes(&w, LDNS_RR_TYPE_A, "203.0.113.12");
    published(&w, LDNS_RR_TYPE_TXT, text, sizeof(text));
    assert_string_equal(text, "\"somebody else's\"");
    end(&w);
}

static void test_refused(void **state)
{
    struct world w = {.knot = *state};
    char before[256], after[256];

    published(&w, LDNS_RR_TYPE_A, before, sizeof(before));
    begin(&w, "d3JvbmdzZWNyZXR3cm9uZ3NlY3JldHdyb25nc2VjcmU=");
    gateways(&w, "active up", "active up");
    sleep(2);
    gateways(&w, "drain up", "active up");
    sleep(2);
    published(&w, LDNS_RR_TYPE_A, after, sizeof(after));
    assert_string_equal(after, before);
    assert_true(daemonkit_log_has(w.log, "does not accept key portico"));
    end(&w);
}

static int start(void **state)
{
    *state = dnsfixture_knot("example.org.", ZONE);
    return 0;
}

static int stop(void **state)
{
    struct dnsfixture *fx = *state;

    dnsfixture_free(&fx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_follows, need),
        cmocka_unit_test_setup(test_refused, need),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
