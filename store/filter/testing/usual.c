#include "usual.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"

struct us_keys us;

int us_begin(void **state)
{
    (void)state;
    us.rsa = sg_key_rsa(2048);
    us.other = sg_key_rsa(2048);
    us.small = sg_key_rsa(1016);
    us.ed = sg_key_ed25519();
    us.rsa_record = sg_key_record(us.rsa);
    us.ed_record = sg_key_record(us.ed);
    return 0;
}

int us_end(void **state)
{
    (void)state;
    sg_key_free(&us.rsa);
    sg_key_free(&us.other);
    sg_key_free(&us.small);
    sg_key_free(&us.ed);
    free(us.rsa_record);
    free(us.ed_record);
    return 0;
}

struct sg_how us_by(const struct sg_key *key)
{
    return (struct sg_how){.key = key,
                           .domain = "example.org",
                           .selector = key == us.ed ? "e" : "r",
                           .canon = "relaxed/relaxed",
                           .body_length = -1};
}

struct ck_zone us_zone(void)
{
    struct ck_zone z = {0};
    ck_set(&z, RSA_NAME, us.rsa_record, 1);
    ck_set(&z, ED_NAME, us.ed_record, 1);
    return z;
}

enum dkim_verdict us_check(struct ck_zone *z, struct sg_text t, const char **reason)
{
    struct dkim_keys *keys = ck_keys(z);
    enum dkim_verdict v = ck_verify(t.data, t.len, "example.org", keys, 0, reason);
    dkim_keys_free(&keys);
    return v;
}

void us_expect(int line, struct ck_zone *z, struct sg_text t, enum dkim_verdict want,
               const char *why)
{
    const char *reason;
    enum dkim_verdict v = us_check(z, t, &reason);
    if (v != want || strcmp(reason, why) != 0) {
        fail_msg("line %d: verdict %d, %s", line, v, reason);
    }
}

void us_signed_is(struct sg_how how, enum dkim_verdict want, const char *why)
{
    struct ck_zone z = us_zone();
    struct sg_text t = sg_sign(&how, MESSAGE, strlen(MESSAGE));
    const char *reason;
    enum dkim_verdict v = us_check(&z, t, &reason);
    if (v != want || strcmp(reason, why) != 0) {
        fail_msg("verdict %d, %s instead of %s: %s", v, reason, why, t.data);
    }
    free(t.data);
}

struct sg_text us_replaced(struct sg_text t, const char *old, const char *new)
{
    struct cm_buf b;
    cm_buf_init(&b, 1 << 24);
    char *at = strstr(t.data, old);
    assert_non_null(at);
    cm_buf_add(&b, t.data, (size_t)(at - t.data));
    cm_buf_str(&b, new);
    cm_buf_str(&b, at + strlen(old));
    struct sg_text out = {.len = b.len};
    out.data = cm_buf_steal(&b);
    return out;
}
