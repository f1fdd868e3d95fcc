#include "common/cert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"

#define DAY_MS INT64_C(86400000)

static const char *const names[] = {"chat.example.org", "www.chat.example.org"};

static char *self(const char *key, const char *const *list, size_t n, int days)
{
    struct cm_err err = {0};
    char *pem = NULL;
    assert_int_equal(cm_cert_self(key, list, n, days, &pem, &err), 0);
    return pem;
}

static struct cm_cert *parse(const char *pem)
{
    struct cm_err err = {0};
    struct cm_cert *cert = NULL;
    if (cm_cert_parse(pem, strlen(pem), &cert, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return cert;
}

static void refused(const char *pem, const char *why)
{
    struct cm_err err = {0};
    struct cm_cert *cert = NULL;
    assert_int_equal(cm_cert_parse(pem, strlen(pem), &cert, &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    assert_string_equal(err.text, why);
    assert_null(cert);
}

static void test_look(void **state)
{
    (void)state;
    char *key = cm_cert_new_key(), *pem = self(key, names, 2, 30);
    struct cm_cert *cert = parse(pem);
    struct cm_roots *nobody = cm_roots_load("/nonexistent");
    struct cm_cert_look look;
    int64_t now = cm_now_wall_ms() / 1000;

    cm_cert_look(cert, "www.chat.example.org", nobody, &look);
    assert_true(look.named);
    assert_true(look.self_signed);
    assert_false(look.trusted);
    assert_string_equal(look.untrusted_why, "self-signed certificate");
    assert_string_equal(look.subject, "chat.example.org");
    assert_string_equal(look.issuer, "chat.example.org");
    assert_int_equal(strlen(look.print), 64);
    assert_true(look.not_before < now);
    assert_in_range(look.not_after, now + 29 * 86400, now + 30 * 86400 + 5);
    cm_cert_look(cert, "mta-sts.chat.example.org", nobody, &look);
    assert_false(look.named);
    cm_cert_free(&cert);
    cm_roots_free(&nobody);
    free(pem);
    cm_wipe_str(&key);
}

static void test_ip(void **state)
{
    (void)state;
    const char *const ip[] = {"198.51.100.11"};
    char *key = cm_cert_new_key(), *pem = self(key, ip, 1, 30);
    struct cm_cert *cert = parse(pem);

    assert_true(cm_cert_named(cert, "198.51.100.11"));
    assert_false(cm_cert_named(cert, "198.51.100.12"));
    assert_false(cm_cert_named(cert, "chat.example.org"));
    cm_cert_free(&cert);
    free(pem);
    cm_wipe_str(&key);
}

static void test_key(void **state)
{
    (void)state;
    char *key = cm_cert_new_key(), *other = cm_cert_new_key();
    char *pem = self(key, names, 2, 30);
    char *both = cm_asprintf("%s%s", key, pem); /* as some tools keep it */
    struct cm_cert *cert = parse(both);
    struct cm_err err = {0};

    assert_int_equal(cm_cert_fits(cert, key, strlen(key), &err), 0);
    assert_int_equal(cm_cert_fits(cert, both, strlen(both), &err), 0);
    assert_int_equal(cm_cert_fits(cert, other, strlen(other), &err), -1);
    assert_string_equal(err.text, "the key is not this certificate's");
    assert_int_equal(cm_cert_fits(cert, pem, strlen(pem), &err), -1);
    assert_string_equal(err.text, "no private key without password can be read");
    cm_cert_free(&cert);
    free(both);
    free(pem);
    cm_wipe_str(&key);
    cm_wipe_str(&other);
}

static void test_refused(void **state)
{
    (void)state;
    char *key = cm_cert_new_key(), *pem = self(key, names, 2, 30);
    char *torn = cm_strndup(pem, strlen(pem) - 100);
    char *many = cm_strdup("");

    for (int i = 0; i <= CM_CERT_CHAIN; i++) {
        char *more = cm_asprintf("%s%s", many, pem);
        free(many);
        many = more;
    }
    refused("", "no certificate is in it");
    refused(key, "no certificate is in it");
    refused(torn, "certificate 1 cannot be read");
    refused(many, "more than 10 certificates");
    refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "certificate 1 cannot be read");
    free(many);
    free(torn);
    free(pem);
    cm_wipe_str(&key);
}

static void test_request(void **state)
{
    (void)state;
    char *key = cm_cert_new_key(), *other = cm_cert_new_key(), *req = NULL;
    char *pem = self(key, names, 2, 30), *foreign = self(other, names, 2, 30);
    struct cm_cert *cert = parse(pem), *not_ours = parse(foreign);
    struct cm_err err = {0};

    assert_int_equal(cm_cert_request(key, names, 2, &req, &err), 0);
    assert_true(cm_cert_request_fits(req, key, names, 2));
    assert_false(cm_cert_request_fits(req, key, names, 1));
    assert_false(cm_cert_request_fits(req, other, names, 2));
    assert_false(cm_cert_request_fits("nothing", key, names, 2));
    assert_true(cm_cert_answers(cert, req));
    assert_false(cm_cert_answers(not_ours, req));
    cm_cert_free(&cert);
    cm_cert_free(&not_ours);
    free(req);
    free(pem);
    free(foreign);
    cm_wipe_str(&key);
    cm_wipe_str(&other);
}

/* A root, what it made, and what that made: by another hand than ours. */
static const char make_chain[] =
    "set -e; cd \"$1\"; exec 2>log\n"
    "ca() { openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc"
    " -keyout $1.key -subj \"/O=Test $1\" -out $1.csr; }\n"
    "printf 'basicConstraints=critical,CA:TRUE\\n' >ca.ext\n"
    "printf 'subjectAltName=DNS:chat.example.org\\n' >leaf.ext\n"
    "ca root; openssl x509 -req -in root.csr -key root.key -days 90"
    " -extfile ca.ext -out root.pem\n"
    "ca mid; openssl x509 -req -in mid.csr -CA root.pem -CAkey root.key -days 60"
    " -CAcreateserial -extfile ca.ext -out mid.pem\n"
    "ca leaf; openssl x509 -req -in leaf.csr -CA mid.pem -CAkey mid.key -days 30"
    " -CAcreateserial -extfile leaf.ext -out leaf.pem\n"
    "cat leaf.pem mid.pem >good; cat leaf.pem root.pem mid.pem >mixed";

static char *slurp(const char *dir, const char *name)
{
    struct cm_err err = {0};
    char *path = cm_asprintf("%s/%s", dir, name), *text = NULL;
    assert_int_equal(cm_file_read(path, CM_CERT_PEM_MAX, &text, NULL, &err), 1);
    free(path);
    return text;
}

static struct cm_cert_look look_at(const char *dir, const char *name, int *chained_r)
{
    struct cm_cert_look look;
    struct cm_err err = {0};
    char *pem = slurp(dir, name), *root = cm_asprintf("%s/root.pem", dir);
    struct cm_cert *cert = parse(pem);
    struct cm_roots *roots = cm_roots_load(root);

    cm_cert_look(cert, "chat.example.org", roots, &look);
    *chained_r = cm_cert_chained(cert, &err);
    if (*chained_r != 0) {
        assert_string_equal(err.text,
                            "certificate 1 of the chain was not made by certificate 2");
    }
    cm_roots_free(&roots);
    cm_cert_free(&cert);
    free(root);
    free(pem);
    return look;
}

static void test_chain(void **state)
{
    (void)state;
    char dir[] = "/tmp/test-cert-XXXXXX";
    struct cm_err err = {0};
    int chained;

    assert_non_null(mkdtemp(dir));
    const char *argv[] = {"sh", "-c", make_chain, "sh", dir, NULL};
    assert_int_equal(cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &err), 0);
    struct cm_cert_look look = look_at(dir, "good", &chained);
    assert_true(look.trusted);
    assert_false(look.self_signed);
    assert_string_equal(look.issuer, "Test mid");
    assert_int_equal(chained, 0);
    look = look_at(dir, "leaf.pem", &chained); /* the one between is missing */
    assert_false(look.trusted);
    assert_int_equal(chained, 0);
    look = look_at(dir, "mixed", &chained);
    assert_int_equal(chained, -1);
    cm_clock_shift(31 * DAY_MS);
    look = look_at(dir, "good", &chained);
    cm_clock_shift(0);
    assert_false(look.trusted);
    assert_string_equal(look.untrusted_why, "certificate has expired");
    const char *rm[] = {"rm", "-rf", dir, NULL};
    assert_int_equal(cm_run_ok(&(struct cm_run){.argv = rm}, NULL, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_look),    cmocka_unit_test(test_ip),
        cmocka_unit_test(test_key),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_request), cmocka_unit_test(test_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
