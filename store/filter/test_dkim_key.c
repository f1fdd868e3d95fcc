/* Key records, well and badly written, and which keys are taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/mem.h"

#include "dkim_key.h"
#include "testing/signer.h"

#define ED "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

static void test_ed25519(void **state)
{
    (void)state;
    static const struct {
        const char *record;
        enum dkim_flaw flaw;
        bool strict;
    } cases[] = {
        {"v=DKIM1; k=ed25519; p=" ED, DKIM_FLAW_NONE, false},
        {"k=ed25519; p=" ED, DKIM_FLAW_NONE, false},
        {"k=ed25519;p=" ED ";", DKIM_FLAW_NONE, false},
        {"p=" ED "; k=ed25519; n=a note", DKIM_FLAW_NONE, false},
        {"v=DKIM1; k=ed25519; s=email; t=s; p=" ED, DKIM_FLAW_NONE, true},
        {"v=DKIM1; k=ed25519; s=other:*; t=y:s; p=" ED, DKIM_FLAW_NONE, true},
        {"v=DKIM1; k=ed25519; s=other:email; t=y; p=" ED, DKIM_FLAW_NONE, false},
        {"v=DKIM1; k=ed25519; h=sha256; p=" ED, DKIM_FLAW_NONE, false},
        {"v=DKIM1; k=ed25519; h=sha1:sha256; unknown=x; p=" ED, DKIM_FLAW_NONE, false},
        {"v=DKIM1; k=ed25519; p=", DKIM_FLAW_REVOKED, false},
        {"v=DKIM1; k=rsa; p=  ; ", DKIM_FLAW_REVOKED, false},
        {"v=DKIM1; p=\"\"", DKIM_FLAW_REVOKED, false},
        {"v=DKIM1; k=ed25519; h=sha1; p=" ED, DKIM_FLAW_KEY, false},
        {"v=DKIM1; k=ed25519; s=web; p=" ED, DKIM_FLAW_KEY, false},
        {"v=DKIM1; k=ed25519; s=; p=" ED, DKIM_FLAW_KEY, false},
        {"k=ed25519; v=DKIM1; p=" ED, DKIM_FLAW_KEY, false}, /* v= not first */
        {"v=DKIM2; k=ed25519; p=" ED, DKIM_FLAW_KEY, false},
        {"v=dkim1; k=ed25519; p=" ED, DKIM_FLAW_KEY, false},
        {"v=DKIM1; k=ed448; p=" ED, DKIM_FLAW_KEY, false},
        {"v=DKIM1; p=" ED, DKIM_FLAW_KEY, false}, /* not an RSA key */
        {"v=DKIM1; k=ed25519", DKIM_FLAW_KEY, false},
        {"v=DKIM1; k=ed25519; p=" ED "; p=" ED, DKIM_FLAW_KEY, false},
        {"v=DKIM1; k=ed25519; p=11qY\\AYKxCrfVS", DKIM_FLAW_KEY, false},
        {"v=DKIM1; k=ed25519; p=AAAA" ED, DKIM_FLAW_KEY, false},
        {"v=spf1 -all", DKIM_FLAW_KEY, false},
        {"", DKIM_FLAW_KEY, false},
        {";", DKIM_FLAW_KEY, false},
        {"google-site-verification", DKIM_FLAW_KEY, false},
        {"v=DKIM1;; k=ed25519; junk; p=" ED ";;", DKIM_FLAW_NONE, false},
        {"v=DKIM1; k=ed25519; 1=2; x-y=z; p=" ED, DKIM_FLAW_NONE, false},
        {"v=DKIM1; k=ed25519; n=\x01; p=" ED, DKIM_FLAW_NONE, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dkim_key k;
        dkim_key_read(&k, cases[i].record, strlen(cases[i].record));
        if (k.flaw != cases[i].flaw ||
            (k.flaw == DKIM_FLAW_NONE &&
             (k.strict != cases[i].strict || k.alg != DKIM_ED25519_SHA256))) {
            fail_msg("%s: %s", cases[i].record, dkim_flaw_text(k.flaw));
        }
        dkim_key_clear(&k);
    }
}

static enum dkim_flaw flaw_of(const char *record, size_t len)
{
    struct dkim_key k;
    dkim_key_read(&k, record, len);
    enum dkim_flaw flaw = k.flaw;
    dkim_key_clear(&k);
    return flaw;
}

/* Puts `stray` into the base64 text of a good record, at every place. */
static void test_stray_breaks(void **state)
{
    (void)state;
    static const char *const strays[] = {"\" \"", " ",          "\t",
                                         "\r\n",  "\r\n\t\t\"", "\"\""};
    struct sg_key *key = sg_key_rsa(2048);
    char *record = sg_key_record(key);
    size_t len = strlen(record);
    assert_int_equal(flaw_of(record, len), DKIM_FLAW_NONE);
    for (size_t s = 0; s < sizeof(strays) / sizeof(strays[0]); s++) {
        for (size_t at = 0; at <= len; at++) {
            char *text =
                cm_asprintf("%.*s%s%s", (int)at, record, strays[s], record + at);
            if (flaw_of(text, strlen(text)) != DKIM_FLAW_NONE) {
                fail_msg("%s", text);
            }
            free(text);
        }
    }
    for (size_t at = strlen("v=DKIM1; k=rsa; p="); at < len; at++) { /* only those */
        char *text = cm_asprintf("%.*s\\%s", (int)at, record, record + at);
        assert_int_not_equal(flaw_of(text, strlen(text)), DKIM_FLAW_NONE);
        free(text);
    }
    free(record);
    sg_key_free(&key);
}

/* Cut off, and with each byte changed: never a crash; ASan watches. */
static void test_damage(void **state)
{
    (void)state;
    struct sg_key *key = sg_key_rsa(1024);
    char *record = sg_key_record(key);
    size_t len = strlen(record);
    for (size_t n = 0; n < len; n++) {
        char *cut = cm_strndup(record, n);
        flaw_of(cut, n);
        free(cut);
    }
    for (size_t at = 0; at < len; at++) {
        for (int c = 0; c < 256; c += 5) {
            char *text = cm_strdup(record);
            text[at] = (char)c;
            flaw_of(text, len);
            free(text);
        }
    }
    free(record);
    sg_key_free(&key);
}

/* ---- RSA keys of any size, made by hand ---- */

static void der(struct cm_buf *out, unsigned char tag, const void *data, size_t len)
{
    const unsigned char head[] = {tag, 0x82, (unsigned char)(len >> 8),
                                  (unsigned char)len};
    cm_buf_add(out, head, sizeof(head));
    cm_buf_add(out, data, len);
}

/* RSAPublicKey with a modulus of that many bits (all ones) and this exponent. */
static void rsa_public(struct cm_buf *out, unsigned bits, const void *e, size_t e_len)
{
    struct cm_buf n, seq;
    cm_buf_init(&n, 8192);
    cm_buf_init(&seq, 8192);
    unsigned char top = bits % 8 == 0 ? 0 : (unsigned char)((1u << bits % 8) - 1);
    cm_buf_add(&n, &top, 1);
    for (unsigned i = 0; i < bits / 8; i++) {
        cm_buf_add(&n, "\xff", 1);
    }
    der(&seq, 0x02, n.data, n.len);
    der(&seq, 0x02, e, e_len);
    cm_buf_reset(out);
    der(out, 0x30, seq.data, seq.len);
    cm_buf_clear(&n);
    cm_buf_clear(&seq);
}

static enum dkim_flaw size_flaw(unsigned bits, const void *e, size_t e_len)
{
    struct cm_buf b;
    enum dkim_flaw flaw;
    cm_buf_init(&b, 8192);
    rsa_public(&b, bits, e, e_len);
    struct dkim_pubkey *k =
        dkim_pubkey_new(DKIM_RSA_SHA256, (unsigned char *)b.data, b.len, &flaw);
    assert_int_equal(k == NULL, flaw != DKIM_FLAW_NONE);
    dkim_pubkey_free(&k);
    cm_buf_clear(&b);
    return flaw;
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(size_flaw(512, "\1\0\1", 3), DKIM_FLAW_KEY_SIZE);
    assert_int_equal(size_flaw(1023, "\1\0\1", 3), DKIM_FLAW_KEY_SIZE);
    assert_int_equal(size_flaw(1024, "\1\0\1", 3), DKIM_FLAW_NONE);
    assert_int_equal(size_flaw(4096, "\1\0\1", 3), DKIM_FLAW_NONE);
    assert_int_equal(size_flaw(8192, "\1\0\1", 3), DKIM_FLAW_NONE);
    assert_int_equal(size_flaw(8193, "\1\0\1", 3), DKIM_FLAW_KEY_SIZE);
    assert_int_equal(size_flaw(16384, "\1\0\1", 3), DKIM_FLAW_KEY_SIZE);
    assert_int_equal(size_flaw(2048, "\3", 1), DKIM_FLAW_NONE);
    assert_int_equal(size_flaw(2048, "\0\xff\0\0\0\0\0\0\1", 9), DKIM_FLAW_NONE);
    assert_int_equal(size_flaw(2048, "\1\0\0\0\0\0\0\0\1", 9), DKIM_FLAW_KEY_SIZE);
    assert_int_equal(size_flaw(2048, "\1", 1), DKIM_FLAW_KEY);
    assert_int_equal(size_flaw(2048, "\0", 1), DKIM_FLAW_KEY);
    assert_int_equal(size_flaw(2048, "\2", 1), DKIM_FLAW_KEY);
    assert_int_equal(size_flaw(2048, "\x81", 1), DKIM_FLAW_KEY); /* negative */
}

static void test_other_key_in_rsa_record(void **state)
{
    (void)state;
    /* SubjectPublicKeyInfo of an Ed25519 key. */
    const char *spki = "v=DKIM1; k=rsa; "
                       "p=MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    assert_int_equal(flaw_of(spki, strlen(spki)), DKIM_FLAW_KEY);
}

static void test_long_record(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 1 << 20);
    cm_buf_str(&b, "k=ed25519; p=" ED "; n=");
    while (b.len < DKIM_RECORD_MAX) {
        cm_buf_add(&b, "x", 1);
    }
    assert_int_equal(flaw_of(b.data, b.len), DKIM_FLAW_NONE);
    cm_buf_add(&b, "x", 1);
    assert_int_equal(flaw_of(b.data, b.len), DKIM_FLAW_KEY);
    cm_buf_reset(&b);
    cm_buf_str(&b, "k=ed25519; p=" ED);
    for (int i = 0; i < 62; i++) { /* and 65 tags are one too many */
        cm_buf_fmt(&b, ";x%d=", i);
    }
    assert_int_equal(flaw_of(b.data, b.len), DKIM_FLAW_NONE);
    cm_buf_str(&b, ";y=");
    assert_int_equal(flaw_of(b.data, b.len), DKIM_FLAW_KEY);
    cm_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ed25519),
        cmocka_unit_test(test_stray_breaks),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_long_record),
        cmocka_unit_test(test_other_key_in_rsa_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
