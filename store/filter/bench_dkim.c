/* dkim-bench: how many messages of 10 KB with an RSA-2048 signature one core verifies
 * and signs, beside a bare EVP_DigestVerify and EVP_DigestSign over the same number of
 * bytes with the same key; and how fast a body runs through. Keys come from the cache.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "common/clock.h"
#include "common/mem.h"

#include "testing/checker.h"
#include "testing/seal_message.h"
#include "testing/signer.h"

#define SIZE   10240
#define BIG    (32u << 20)
#define RUN_MS 300
#define ROUNDS                                                                         \
    7 /* taken in turns, because a machine is never quiet; the best counts             \
       */

static const char header[] =
    "Received: from mail.example.org by example.net; Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    "Subject: [...]\r\nFrom: <alice@example.org>\r\nTo: <bob@example.net>\r\n"
    "Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n"
    "Chat-Version: 1.0\r\nMIME-Version: 1.0\r\nContent-Type: "
    "multipart/encrypted\r\n\r\n";

static struct sg_text message(size_t size, const struct sg_key *key)
{
    static const char line[] =
        "wV4DR2b2udXyHrYSAQdAMHnkF2+0l5BLtyvFYZg3k8ByoRSXWqGzJXMqvZVzVSMw\r\n";
    struct sg_how how = {.key = key,
                         .domain = "example.org",
                         .selector = "s",
                         .canon = "relaxed/simple",
                         .h = "from:to:subject:date:message-id:mime-version:"
                              "content-type:from:to:subject",
                         .body_length = -1};
    char *text = cm_malloc(size + sizeof(line));
    size_t len = sizeof(header) - 1;
    memcpy(text, header, len);
    for (; len < size; len += sizeof(line) - 1) {
        memcpy(text + len, line, sizeof(line) - 1);
    }
    struct sg_text t = sg_sign(&how, text, len);
    free(text);
    return t;
}

static double verify_rate(struct dkim_keys *keys, const struct sg_text *t)
{
    const char *reason;
    int64_t begin = cm_now_mono_ms(), now;
    unsigned n = 0;
    do {
        cm_assert(ck_verify(t->data, t->len, "example.org", keys, 0, &reason) ==
                  DKIM_PASS);
        n++;
        now = cm_now_mono_ms();
    } while (now - begin < RUN_MS);
    return n * 1000.0 / (double)(now - begin);
}

static double sign_rate(const struct dkim_privkey *key, const struct sg_text *t)
{
    const struct dkim_sign_as as = {
        .key = key, .domain = "example.org", .selector = "s", .now_s = 1};
    int64_t begin = cm_now_mono_ms(), now;
    unsigned n = 0;
    do {
        struct sg_text out;
        struct cm_err err;
        cm_assert(seal_message(&as, t->data, t->len, 0, &out.data, &out.len, &err) ==
                  0);
        free(out.data);
        n++;
        now = cm_now_mono_ms();
    } while (now - begin < RUN_MS);
    return n * 1000.0 / (double)(now - begin);
}

static double better(double a, double b)
{
    return a > b ? a : b;
}

static EVP_PKEY *openssl_key(const struct sg_key *key)
{
    char *pem = sg_key_pem(key);
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    cm_assert(pkey != NULL);
    BIO_free(bio);
    free(pem);
    return pkey;
}

static double bare_sign_rate(EVP_PKEY *key, const struct sg_text *t)
{
    unsigned char sig[512];
    unsigned n = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int64_t begin = cm_now_mono_ms(), now;
    do {
        size_t sig_len = sizeof(sig);
        EVP_MD_CTX_reset(ctx);
        cm_assert(
            EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
            EVP_DigestSign(ctx, sig, &sig_len, (unsigned char *)t->data, t->len) == 1);
        n++;
        now = cm_now_mono_ms();
    } while (now - begin < RUN_MS);
    EVP_MD_CTX_free(ctx);
    return n * 1000.0 / (double)(now - begin);
}

static double bare_rate(EVP_PKEY *key, const struct sg_text *t)
{
    unsigned char sig[512];
    size_t sig_len = sizeof(sig);
    unsigned n = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    cm_assert(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(ctx, sig, &sig_len, (unsigned char *)t->data, t->len) ==
                  1);
    int64_t begin = cm_now_mono_ms(), now;
    do {
        EVP_MD_CTX_reset(ctx);
        cm_assert(
            EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
            EVP_DigestVerify(ctx, sig, sig_len, (unsigned char *)t->data, t->len) == 1);
        n++;
        now = cm_now_mono_ms();
    } while (now - begin < RUN_MS);
    EVP_MD_CTX_free(ctx);
    return n * 1000.0 / (double)(now - begin);
}

static struct dkim_privkey *private_key(const struct sg_key *key)
{
    struct cm_err err;
    char *pem = sg_key_pem(key);
    struct dkim_privkey *k = dkim_privkey_read(pem, strlen(pem), &err);
    cm_assert(k != NULL);
    free(pem);
    return k;
}

int main(void)
{
    struct ck_zone zone = {0};
    struct sg_key *key = sg_key_rsa(2048);
    char *record = sg_key_record(key);
    ck_set(&zone, "s._domainkey.example.org", record, 1);
    struct dkim_keys *keys = ck_keys(&zone);
    EVP_PKEY *pkey = openssl_key(key);
    struct dkim_privkey *mine = private_key(key);
    struct sg_text small = message(SIZE, key), big = message(BIG, key);

    double ours = 0, bare = 0, signs = 0, bare_signs = 0;
    for (int i = 0; i < ROUNDS; i++) {
        ours = better(ours, verify_rate(keys, &small));
        bare = better(bare, bare_rate(pkey, &small));
        signs = better(signs, sign_rate(mine, &small));
        bare_signs = better(bare_signs, bare_sign_rate(pkey, &small));
    }
    double stream = verify_rate(keys, &big) * (double)big.len / 1e6;
    printf("messages of %zu bytes, rsa-2048: %.0f/s\n", small.len, ours);
    printf("bare EVP_DigestVerify over as many bytes: %.0f/s\n", bare);
    printf("ratio: %.2f\n", ours / bare);
    printf("signed: %.0f/s\nbare EVP_DigestSign: %.0f/s\nratio: %.2f\n", signs,
           bare_signs, signs / bare_signs);
    printf("a message of %u MiB: %.0f MB/s\n", BIG >> 20, stream);

    free(small.data);
    free(big.data);
    free(record);
    EVP_PKEY_free(pkey);
    dkim_privkey_free(&mine);
    dkim_keys_free(&keys);
    sg_key_free(&key);
    return 0;
}
