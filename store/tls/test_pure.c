/* What needs no CA: reading uacme's words, when a certificate is due, what is refused,
 * what takes whose place, and the hook. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"

#include "due.h"
#include "hook.h"
#include "issuer.h"
#include "order.h"
#include "pair.h"
#include "state.h"
#include "uacme.h"
#include "work.h"

#define DAY    INT64_C(86400)
#define DOMAIN "chat.example.org"

static const char *const all_names[] = {DOMAIN, "mta-sts." DOMAIN, "www." DOMAIN};

/* ---- a tree to work in ---- */

struct tree {
    char root[40];
    struct cm_conf conf;
    struct tls_place place;
    struct cm_roots *roots;
    struct tls_work work;
    struct cm_buf said;
    int reloads;
    bool reload_fails;
};

static int count_reload(void *ctx, struct cm_err *err)
{
    struct tree *t = ctx;

    if (t->reload_fails) {
        return cm_err_set(err, CM_ERR_WORLD, "nginx.service could not be reloaded");
    }
    t->reloads++;
    return 0;
}

static void tree_make(struct tree *t, const char *params)
{
    struct cm_err err = {0};
    char *ini = cm_asprintf("[params]\nmail_domain = " DOMAIN "\n%s", params);

    *t = (struct tree){.root = "/tmp/test-tls-XXXXXX"};
    assert_non_null(mkdtemp(t->root));
    assert_int_equal(cm_conf_parse("t", ini, strlen(ini), &t->conf, &err), 0);
    tls_place_init(&t->place, &t->conf, t->root);
    t->roots = cm_roots_load("/nonexistent");
    t->work = (struct tls_work){.place = &t->place,
                                .roots = t->roots,
                                .reload = count_reload,
                                .ctx = t,
                                .settle_ms = 1};
    cm_buf_init(&t->said, 4096);
    free(ini);
}

static void tree_end(struct tree *t)
{
    const char *argv[] = {"rm", "-rf", t->root, NULL};
    struct cm_err err;

    cm_buf_clear(&t->said);
    cm_roots_free(&t->roots);
    tls_place_clear(&t->place);
    cm_conf_clear(&t->conf);
    assert_int_equal(cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &err), 0);
}

static char *slurp(const char *path)
{
    struct cm_err err = {0};
    char *text = NULL;

    if (cm_file_read(path, CM_CERT_PEM_MAX, &text, NULL, &err) != 1) {
        fail_msg("%s: %s", path, err.text);
    }
    return text;
}

static void spew(const char *path, const char *text)
{
    struct cm_err err = {0};
    char *dir = cm_strndup(path, (size_t)(strrchr(path, '/') - path));

    assert_int_equal(cm_file_mkdirs(dir, 0755, &err), 0);
    assert_int_equal(cm_file_replace(path, text, strlen(text), 0600, &err), 0);
    free(dir);
}

static char *self(const char *key, const char *const *names, size_t n, int days)
{
    struct cm_err err = {0};
    char *pem = NULL;

    assert_int_equal(cm_cert_self(key, names, n, days, &pem, &err), 0);
    return pem;
}

/* ---- uacme's words ---- */

static struct uacme_said read_case(const char *name)
{
    char *path = cm_asprintf("%s/fuzz_uacme/%s", getenv("PORTICO_TESTDATA_DIR"), name);
    char *text = slurp(path);
    struct uacme_said said;

    uacme_read(text, &said);
    free(text);
    free(path);
    return said;
}

static void test_words(void **state)
{
    (void)state;
    struct uacme_said s = read_case("issued");
    assert_string_equal(s.account, "https://ca.example/my-account/78173e6047d90833");
    assert_string_equal(s.type, "");
    s = read_case("refused");
    assert_string_equal(s.type, "ietf:params:acme:error:connection");
    assert_string_equal(
        s.why, "Get \"http://www.a.example/.well-known/acme-challenge/IaT\": no such "
               "host");
    assert_false(s.no_account);
    s = read_case("silent");
    assert_string_equal(s.account, "");
    assert_string_equal(s.why, "failed to fetch directory at https://ca.example/dir");
    s = read_case("forgotten");
    assert_true(s.no_account);
}

static void test_again(void **state)
{
    (void)state;
    assert_true(order_again(""));
    assert_true(order_again("ietf:params:acme:error:connection"));
    assert_true(order_again("ietf:params:acme:error:badNonce"));
    assert_false(order_again("ietf:params:acme:error:rateLimited"));
    assert_false(order_again("ietf:params:acme:error:caa"));
    assert_false(order_again("ietf:params:acme:error:unauthorized"));
}

static void test_ca_name(void **state)
{
    (void)state;
    char *name = order_ca_name("https://127.0.0.1:14000/../dir?x");
    assert_string_equal(name, "127.0.0.1-14000-..-dir-x");
    free(name);
}

static void test_issuer(void **state)
{
    (void)state;
    char out[ISSUER_MAX];

    issuer_of_directory("{\"meta\":{\"caaIdentities\":[\"letsencrypt.org\"]}}", out,
                        sizeof(out));
    assert_string_equal(out, "letsencrypt.org");
    issuer_of_directory("{\"meta\":{\"caaIdentities\":[\"a;b\"]}}", out, sizeof(out));
    assert_string_equal(out, "");
    issuer_of_directory("{\"meta\":{}}", out, sizeof(out));
    assert_string_equal(out, "");
    issuer_of_directory("no json", out, sizeof(out));
    assert_string_equal(out, "");
}

/* ---- due ---- */

static void test_due(void **state)
{
    (void)state;
    struct cm_err err = {0};
    char *key = cm_cert_new_key(), *other = cm_cert_new_key(), *req = NULL;
    char *pem = self(key, all_names, 3, 90);
    struct cm_cert *cert = NULL;
    int64_t now = cm_now_wall_ms() / 1000;

    assert_int_equal(cm_cert_parse(pem, strlen(pem), &cert, &err), 0);
    assert_int_equal(cm_cert_request(key, all_names, 3, &req, &err), 0);
    assert_string_equal(due_why(NULL, req, all_names, 3, now), "there is none yet");
    assert_null(due_why(cert, req, all_names, 3, now));
    assert_null(due_why(cert, req, all_names, 3, now + 59 * DAY));
    assert_string_equal(due_why(cert, req, all_names, 3, now + 61 * DAY),
                        "a third of its life is left");
    assert_non_null(due_why(cert, req, all_names, 3, now + 100 * DAY));
    static const char *const more[] = {DOMAIN, "extra." DOMAIN};
    assert_string_equal(due_why(cert, req, more, 2, now), "a name is missing");
    free(req);
    assert_int_equal(cm_cert_request(other, all_names, 3, &req, &err), 0);
    assert_string_equal(due_why(cert, req, all_names, 3, now), "the key is another");
    cm_cert_free(&cert);
    free(req);
    free(pem);
    cm_wipe_str(&key);
    cm_wipe_str(&other);
}

/* ---- the hook ---- */

static int hook(const char *dir, const char *method, const char *type,
                const char *token, const char *auth)
{
    char *argv[] = {cm_strdup("x"),    cm_strdup(method), cm_strdup(type),
                    cm_strdup(DOMAIN), cm_strdup(token),  cm_strdup(auth)};
    int rc = hook_called(6, argv) ? hook_run(dir, argv) : -1;

    for (size_t i = 0; i < 6; i++) {
        free(argv[i]);
    }
    return rc;
}

static void test_hook(void **state)
{
    (void)state;
    char dir[] = "/tmp/test-tls-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *path = cm_asprintf("%s/Tok-en_1", dir);

    assert_int_equal(hook(dir, "begin", "http-01", "Tok-en_1", "Tok-en_1.abc"), 0);
    char *text = slurp(path);
    assert_string_equal(text, "Tok-en_1.abc");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    assert_int_equal(hook(dir, "done", "http-01", "Tok-en_1", "Tok-en_1.abc"), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(hook(dir, "begin", "dns-01", "t", "a"), 1);
    assert_int_equal(hook(dir, "begin", "http-01", "../t", "a"), 1);
    assert_int_equal(hook(dir, "begin", "http-01", "", "a"), 1);
    assert_int_equal(hook(dir, "begin", "http-01", "t", "a\nb"), 1);
    assert_int_equal(hook(dir, "else", "http-01", "t", "a"), -1);
    free(text);
    free(path);
    assert_int_equal(rmdir(dir), 0);
}

/* ---- prepare ---- */

static void prepare(struct tree *t, bool dry, const char *said)
{
    struct cm_err err = {0};

    cm_buf_reset(&t->said);
    if (tls_prepare(&t->work, dry, &t->said, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(t->said.data, said);
}

static void test_prepare(void **state)
{
    (void)state;
    struct tree t;
    struct stat st;

    tree_make(&t, "");
    prepare(&t, true, "a key and a temporary certificate; a request to the CA");
    assert_int_equal(access(t.place.live_key, F_OK), -1);
    prepare(&t, false, "a key and a temporary certificate; a request to the CA");
    prepare(&t, false, "");
    char *key = slurp(t.place.live_key), *req = slurp(t.place.request);
    assert_true(cm_cert_request_fits(req, key, (const char *const *)t.place.names, 3));
    assert_int_equal(stat(t.place.live_key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    /* lost but for the key: it is kept */
    assert_int_equal(unlink(t.place.live_cert), 0);
    assert_int_equal(unlink(t.place.request), 0);
    prepare(&t, false,
            "a temporary certificate for the key that is there; a request to the CA");
    char *again = slurp(t.place.live_key);
    assert_string_equal(key, again);
    cm_wipe_str(&again);
    cm_wipe_str(&key);
    free(req);
    tree_end(&t);
}

/* As an upstream relay left it: a real directory, no link. */
static void test_adopt(void **state)
{
    (void)state;
    struct tree t;
    char *key = cm_cert_new_key(), *pem = self(key, all_names, 3, 50);

    tree_make(&t, "");
    spew(t.place.live_key, key);
    spew(t.place.live_cert, pem);
    prepare(&t, false, "a request to the CA");
    char *now = slurp(t.place.live_key);
    assert_string_equal(now, key);
    cm_wipe_str(&now);
    char *next = self(key, all_names, 3, 60);
    spew(t.place.source_cert, next);
    struct cm_err err = {0};
    assert_int_equal(tls_install(&t.work, false, &t.said, &err), 0);
    now = slurp(t.place.live_cert);
    assert_string_equal(now, next);
    char link[256];
    assert_true(readlink(t.place.live, link, sizeof(link)) > 0);
    free(now);
    free(next);
    free(pem);
    cm_wipe_str(&key);
    tree_end(&t);
}

/* ---- install ---- */

static void install(struct tree *t, const char *said)
{
    struct cm_err err = {0};

    cm_buf_reset(&t->said);
    if (tls_install(&t->work, false, &t->said, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(t->said.data, said);
}

static void refuse(struct tree *t, const char *why)
{
    struct cm_err err = {0};
    char *before = slurp(t->place.live_cert), *want;

    assert_int_equal(tls_install(&t->work, false, &t->said, &err), -1);
    want = cm_asprintf("%s: %s", t->place.source_cert, why);
    assert_string_equal(err.text, want);
    char *after = slurp(t->place.live_cert);
    assert_string_equal(before, after);
    free(want);
    free(before);
    free(after);
}

static size_t pairs_of(const struct tree *t)
{
    char *said = NULL;
    struct cm_err err;
    const char *argv[] = {"ls", t->place.pairs, NULL};
    size_t n = 0;

    assert_int_equal(cm_run_ok(&(struct cm_run){.argv = argv}, &said, &err), 0);
    for (const char *p = said; (p = strchr(p, '\n')) != NULL; p++) {
        n++;
    }
    free(said);
    return n;
}

/* Renewal: another certificate, the same key. */
static void test_renewal(void **state)
{
    (void)state;
    struct tree t;

    tree_make(&t, "");
    prepare(&t, false, "a key and a temporary certificate; a request to the CA");
    install(&t, ""); /* the CA has said nothing yet */
    char *key = slurp(t.place.live_key);
    for (int i = 1; i <= 5; i++) {
        char *pem = self(key, all_names, 3, 60 + i);
        spew(t.place.source_cert, pem);
        install(&t, "a new certificate");
        assert_int_equal(t.reloads, i);
        install(&t, "");
        assert_int_equal(t.reloads, i);
        char *now = slurp(t.place.live_cert), *kept = slurp(t.place.live_key);
        assert_string_equal(now, pem);
        assert_string_equal(kept, key);
        free(now);
        cm_wipe_str(&kept);
        free(pem);
    }
    assert_int_equal(pairs_of(&t), TLS_PAIRS_KEPT);
    cm_wipe_str(&key);
    tree_end(&t);
}

/* Every way in which a pair can be no good, with a good one in use. */
static void test_refused(void **state)
{
    (void)state;
    struct tree t;
    static const char *const wrong[] = {"other.example.org"};
    char *key = cm_cert_new_key(), *other = cm_cert_new_key();
    char *good = self(key, all_names, 1, 30), *foreign = self(key, wrong, 1, 30);
    char *expired = self(key, all_names, 1, -1);
    char *mixed = cm_asprintf("%s%s", good, foreign);

    tree_make(&t, "tls_external_cert_and_key = /e/cert /e/key\n");
    spew(t.place.source_cert, good);
    spew(t.place.source_key, key);
    install(&t, "the first certificate");
    spew(t.place.source_cert, foreign);
    refuse(&t, "it is for other.example.org, not for " DOMAIN);
    spew(t.place.source_cert, "rubbish");
    refuse(&t, "no certificate is in it");
    spew(t.place.source_cert, mixed);
    refuse(&t, "certificate 1 of the chain was not made by certificate 2");
    spew(t.place.source_cert, good);
    spew(t.place.source_key, other);
    refuse(&t, "the key is not this certificate's");
    spew(t.place.source_key, "rubbish");
    refuse(&t, "no private key without password can be read");
    spew(t.place.source_key, key);
    spew(t.place.source_cert, expired);
    struct cm_err err = {0};
    assert_int_equal(tls_install(&t.work, false, &t.said, &err), -1);
    assert_non_null(strstr(err.text, ": it expired on "));
    assert_int_equal(unlink(t.place.source_cert), 0);
    assert_int_equal(tls_install(&t.work, false, &t.said, &err), -1);
    assert_non_null(strstr(err.text, "/e/cert is not there"));
    assert_int_equal(t.reloads, 1);
    spew(t.place.source_cert, good);
    install(&t, "");
    free(mixed);
    free(expired);
    free(foreign);
    free(good);
    cm_wipe_str(&key);
    cm_wipe_str(&other);
    tree_end(&t);
}

/* What a root stands behind is not replaced by what none does; an expired one is. */
static void test_downgrade(void **state)
{
    (void)state;
    struct tree t;
    struct cm_err err = {0};
    char *key = cm_cert_new_key();
    char *known = self(key, all_names, 1, 30), *unknown = self(key, all_names, 1, 60);

    tree_make(&t, "tls_external_cert_and_key = /e/cert /e/key\n");
    char *file = cm_asprintf("%s/roots", t.root);
    spew(file, known);
    cm_roots_free(&t.roots);
    t.work.roots = t.roots = cm_roots_load(file);
    spew(t.place.source_key, key);
    spew(t.place.source_cert, known);
    install(&t, "the first certificate");
    spew(t.place.source_cert, unknown);
    refuse(&t, "nobody will trust it (self-signed certificate), and the present one is "
               "good");
    cm_clock_shift(40 * DAY * 1000);
    assert_int_equal(tls_install(&t.work, false, &t.said, &err), 0);
    cm_clock_shift(0);
    assert_int_equal(t.reloads, 2);
    free(file);
    free(unknown);
    free(known);
    cm_wipe_str(&key);
    tree_end(&t);
}

/* Daemons that could not be told are told by the next run. */
static void test_owed(void **state)
{
    (void)state;
    struct tree t;
    struct cm_err err = {0};
    char *key = cm_cert_new_key(), *pem = self(key, all_names, 1, 30);

    tree_make(&t, "tls_external_cert_and_key = /e/cert /e/key\n");
    spew(t.place.source_key, key);
    spew(t.place.source_cert, pem);
    t.reload_fails = true;
    assert_int_equal(tls_install(&t.work, false, &t.said, &err), -1);
    assert_string_equal(err.text, "nginx.service could not be reloaded");
    assert_int_equal(tls_report(&t.work, &err, &err), 0);
    char *said = slurp(t.place.state);
    assert_non_null(
        strstr(said, "\"problem\":\"nginx.service could not be reloaded\""));
    free(said);
    t.reload_fails = false;
    install(&t, "daemons told once more");
    assert_int_equal(t.reloads, 1);
    install(&t, "");
    assert_int_equal(tls_report(&t.work, NULL, &err), 0);
    said = slurp(t.place.state);
    assert_non_null(strstr(said, "\"mode\":\"external\""));
    assert_non_null(strstr(said, "\"problem\":\"\""));
    assert_non_null(strstr(said, "\"subject\":\"" DOMAIN "\""));
    free(said);
    free(pem);
    cm_wipe_str(&key);
    tree_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),     cmocka_unit_test(test_again),
        cmocka_unit_test(test_ca_name),   cmocka_unit_test(test_issuer),
        cmocka_unit_test(test_due),       cmocka_unit_test(test_hook),
        cmocka_unit_test(test_prepare),   cmocka_unit_test(test_adopt),
        cmocka_unit_test(test_renewal),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_downgrade), cmocka_unit_test(test_owed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
