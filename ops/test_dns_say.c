/* What `chatops dns` prints: to somebody who has just added his gateways, to somebody
 * with this and that wrong, and when all is well. 80 columns, but for records. */
#include "dns.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"

#define D "chat.example.org."

static char key[393];
static struct cm_conf conf;

/* All sets judged alike. */
static void look_at(struct op_look *k, enum op_verdict verdict)
{
    struct op_zone_input in = {.conf = &conf,
                               .dkim_key = key,
                               .acme_account = "https://acme.example/acct/1",
                               .mta_sts_id = "202501010000"};

    *k = (struct op_look){.domain = "chat.example.org", .server_count = 2};
    op_zone_build(&in, &k->zone);
    k->servers[0] = (struct op_authority){.answers = true};
    k->servers[1] = (struct op_authority){.no_route = true};
    k->findings = cm_calloc(k->zone.count, sizeof(*k->findings));
    for (size_t i = 0; i < k->zone.count; i += op_zone_set(&k->zone, i)) {
        k->findings[k->count++] = (struct op_finding){
            .first = i, .n = op_zone_set(&k->zone, i), .verdict = verdict};
    }
}

static struct op_finding *find(struct op_look *k, const char *name, const char *type)
{
    for (size_t i = 0; i < k->count; i++) {
        const struct op_record *r = &k->zone.items[k->findings[i].first];
        if (strcmp(r->name, name) == 0 && strcmp(r->type, type) == 0) {
            return &k->findings[i];
        }
    }
    fail_msg("no %s %s", name, type);
    return NULL;
}

static void set(struct op_look *k, const char *name, const char *type,
                enum op_verdict verdict, const char *published, const char *why)
{
    struct op_finding *f = find(k, name, type);

    f->verdict = verdict;
    snprintf(f->published, sizeof(f->published), "%s", published);
    snprintf(f->why, sizeof(f->why), "%s", why);
}

static char *said(const struct op_look *k, int *status)
{
    const struct op_cli cli = {.json = false};
    struct cm_err err;
    char path[] = "/tmp/dns-say-XXXXXX", *text = NULL;
    int fd = mkstemp(path), out = dup(STDOUT_FILENO);

    assert_true(fd >= 0 && out >= 0);
    fflush(stdout);
    dup2(fd, STDOUT_FILENO);
    *status = op_dns_say(&cli, k);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    close(out);
    close(fd);
    assert_int_equal(cm_file_read(path, 65536, &text, NULL, &err), 1);
    unlink(path);
    return text;
}

static void golden(struct op_look *k, int status, const char *name)
{
    struct cm_err err;
    int got;
    char *have = said(k, &got), *want = NULL;
    char *path = cm_asprintf("%s/%s", getenv("PORTICO_TESTDATA_DIR"), name);

    assert_int_equal(got, status);
    if (getenv("UPDATE_GOLDEN") != NULL) {
        assert_int_equal(cm_file_replace(path, have, strlen(have), 0644, &err), 0);
    }
    assert_int_equal(cm_file_read(path, 65536, &want, NULL, &err), 1);
    assert_string_equal(have, want);
    for (const char *p = have; *p != '\0'; p += strcspn(p, "\n") + 1) {
        size_t n = strcspn(p, "\n");
        if (n > 80 && strncmp(p, "v=DKIM1", 7) != 0 &&
            memmem(p, n, " IN ", 4) == NULL) {
            fail_msg("%zu columns: %.*s", n, (int)n, p);
        }
    }
    free(path);
    free(want);
    free(have);
    op_look_clear(k);
}

static void test_nothing_there(void **state)
{
    struct op_look k;

    (void)state;
    look_at(&k, OP_MISSING);
    golden(&k, OP_EXIT_FAILED, "dns-nothing.txt");
}

static void test_some_wrong(void **state)
{
    struct op_look k;

    (void)state;
    look_at(&k, OP_RIGHT);
    set(&k, D, "A", OP_WRONG, "192.0.2.1, 198.51.100.11, 198.51.100.77, 203.0.113.12",
        "192.0.2.1 is no gateway; 198.51.100.77 is no gateway");
    set(&k, D, "MX", OP_MISSING, "", "");
    set(&k, D, "CAA", OP_WRONG, "0 issue \"letsencrypt.org\"", "");
    set(&k, "11.100.51.198.in-addr.arpa.", "PTR", OP_WRONG, "vps7.hoster.example.", "");
    set(&k, "www." D, "CNAME", OP_NOT_YET, "old.example.",
        "right on 1 of 2 servers; ns2.example.net (192.0.2.53) has an old serial, 10");
    k.policies[k.policy_count++] =
        (struct op_policy){.address = "198.51.100.11", .tried = true, .right = true};
    k.policies[k.policy_count++] = (struct op_policy){
        .address = "203.0.113.12", .tried = true, .why = "HTTP status 404, not 200"};
    k.policies[k.policy_count++] = (struct op_policy){.address = "2001:db8:1::11"};
    golden(&k, OP_EXIT_FAILED, "dns-some.txt");
}

static void test_not_yet(void **state)
{
    struct op_look k;

    (void)state;
    look_at(&k, OP_RIGHT);
    set(&k, D, "MX", OP_NOT_YET, "10 old.example.",
        "the servers have it, a resolver keeps what was there for 1800 s");
    golden(&k, OP_EXIT_OK, "dns-not-yet.txt");
}

static void test_all_right(void **state)
{
    struct op_look k;
    int status;

    (void)state;
    look_at(&k, OP_RIGHT);
    char *text = said(&k, &status), *zone = op_zone_text(&k.zone);
    assert_int_equal(status, OP_EXIT_OK);
    assert_ptr_equal(strstr(text, zone), text);
    assert_string_equal(
        text + strlen(zone),
        "\nGreat! All your DNS entries are verified and correct (19 sets "
        "on 1 server).\n");
    free(zone);
    free(text);
    op_look_clear(&k);
}

static int start(void **state)
{
    static const char text[] = "[params]\nmail_domain = chat.example.org\n"
                               "[gateway edge1]\nssh = root@198.51.100.11\nnumber = 1\n"
                               "addresses = 198.51.100.11 2001:db8:1::11\n"
                               "[gateway edge2]\nssh = root@203.0.113.12\nnumber = 2\n"
                               "addresses = 203.0.113.12 2001:db8:2::12\n";
    struct cm_err err;

    (void)state;
    memset(key, 'A', sizeof(key) - 1);
    return cm_conf_parse("test.ini", text, strlen(text), &conf, &err);
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
        cmocka_unit_test(test_nothing_there),
        cmocka_unit_test(test_some_wrong),
        cmocka_unit_test(test_not_yet),
        cmocka_unit_test(test_all_right),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
