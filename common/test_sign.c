#include "common/sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* RFC 8032 section 7.1, as base64. */
static const struct vector {
    const char *secret, *public_key, *message, *sig;
    size_t len;
} vectors[] = {
    {"nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
     "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "",
     "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+"
     "bRr0lv18FlbviRlUUFDjnoQCw==",
     0},
    {"TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs=",
     "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=", "\x72",
     "kqAJqfDUyrhyDoILX2QlQKKye1QWUD+Ps3YiI+"
     "vbadoIWsHkPhWZbkWPNhPQ8R2MOHsurrQwKu6wDSkWErsMAA==",
     1},
    {"xaqN9D+fg3vtt0QvMdy3sWbThTUHbwlLhc46LgtEWPc=",
     "/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU=", "\xaf\x82",
     "YpHWV97sJAJIJ+acOr4BowzlSKKEdDpEXjaA19taw6wY/"
     "5tTjRbykK5n92CYTcZZSnwV6XFu0o3AJ77O6h7ECg==",
     2},
};

static void test_rfc8032(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct vector *v = &vectors[i];
        struct cm_err err = {0};
        char public_key[CM_SIGN_KEY_TEXT], sig[CM_SIGN_SIG_TEXT];
        assert_int_equal(cm_sign_public(v->secret, public_key, &err), 0);
        assert_string_equal(public_key, v->public_key);
        assert_int_equal(cm_sign(v->secret, v->message, v->len, sig, &err), 0);
        assert_string_equal(sig, v->sig);
        assert_int_equal(cm_sign_verify(public_key, v->message, v->len, sig, &err), 0);
    }
}

static void test_new_keys(void **state)
{
    (void)state;
    struct cm_err err = {0};
    char secret[CM_SIGN_KEY_TEXT], public_key[CM_SIGN_KEY_TEXT];
    char again[CM_SIGN_KEY_TEXT], other[CM_SIGN_KEY_TEXT], sig[CM_SIGN_SIG_TEXT];
    assert_int_equal(cm_sign_keygen(secret, public_key, &err), 0);
    assert_int_equal(strlen(secret), 44);
    assert_int_equal(cm_sign_public(secret, again, &err), 0);
    assert_string_equal(public_key, again);
    assert_int_equal(cm_sign_keygen(again, other, &err), 0);
    assert_string_not_equal(secret, again);

    assert_int_equal(cm_sign(secret, "epoch 7", 7, sig, &err), 0);
    assert_int_equal(strlen(sig), 88);
    assert_int_equal(cm_sign_verify(public_key, "epoch 7", 7, sig, &err), 0);
    assert_int_equal(cm_sign_verify(other, "epoch 7", 7, sig, &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    assert_int_equal(cm_sign_verify(public_key, "epoch 8", 7, sig, &err), -1);
    assert_int_equal(cm_sign_verify(public_key, "epoch 7", 6, sig, &err), -1);
    sig[10] = sig[10] == 'A' ? 'B' : 'A';
    assert_int_equal(cm_sign_verify(public_key, "epoch 7", 7, sig, &err), -1);
    assert_string_equal(err.text, "the signature does not fit the key");
}

static void test_bad_texts(void **state)
{
    (void)state;
    const struct vector *v = &vectors[0];
    static const char *const bad[] = {
        "",
        "AAAA",
        "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",  /* padding away */
        "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2B=", /* loose bits at the end */
        "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n",
        " nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2=",
        "nWGxne-9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=", /* the URL alphabet */
        "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf===",
    };
    char out[CM_SIGN_SIG_TEXT] = "untouched";
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cm_err err = {0};
        assert_int_equal(cm_sign_public(bad[i], out, &err), -1);
        assert_int_equal(err.kind, CM_ERR_WORLD);
        assert_int_equal(cm_sign(bad[i], "x", 1, out, &err), -1);
        assert_int_equal(cm_sign_verify(bad[i], "", 0, v->sig, &err), -1);
        assert_int_equal(err.kind, CM_ERR_REFUSE);
        assert_int_equal(cm_sign_verify(v->public_key, "", 0, bad[i], &err), -1);
        assert_int_equal(err.kind, CM_ERR_REFUSE);
    }
    assert_string_equal(out, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc8032),
        cmocka_unit_test(test_new_keys),
        cmocka_unit_test(test_bad_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
