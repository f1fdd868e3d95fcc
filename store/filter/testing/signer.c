#include "signer.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "common/buf.h"
#include "common/mem.h"

#define TEXT_MAX (64 << 20)

struct sg_key {
    EVP_PKEY *pkey;
    bool rsa;
};

/* ---- keys ---- */

static struct sg_key *wrap(EVP_PKEY *pkey, bool rsa)
{
    struct sg_key *k = cm_calloc(1, sizeof(*k));
    cm_assert(pkey != NULL);
    *k = (struct sg_key){pkey, rsa};
    return k;
}

struct sg_key *sg_key_rsa(unsigned bits)
{
    return wrap(EVP_RSA_gen(bits), true);
}

struct sg_key *sg_key_ed25519(void)
{
    return wrap(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), false);
}

struct sg_key *sg_key_seed(const unsigned char seed[32])
{
    return wrap(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32), false);
}

void sg_key_free(struct sg_key **key)
{
    if (*key != NULL) {
        EVP_PKEY_free((*key)->pkey);
        free(*key);
        *key = NULL;
    }
}

static char *base64(const unsigned char *data, size_t len)
{
    char *text = cm_malloc((len + 2) / 3 * 4 + 1);
    EVP_EncodeBlock((unsigned char *)text, data, (int)len);
    return text;
}

char *sg_key_p(const struct sg_key *key)
{
    unsigned char *der = NULL, raw[32];
    size_t n = sizeof(raw);
    if (!key->rsa) {
        cm_assert(EVP_PKEY_get_raw_public_key(key->pkey, raw, &n) == 1);
        return base64(raw, n);
    }
    int len = i2d_PUBKEY(key->pkey, &der);
    cm_assert(len > 0);
    char *text = base64(der, (size_t)len);
    OPENSSL_free(der);
    return text;
}

char *sg_key_record(const struct sg_key *key)
{
    char *p = sg_key_p(key);
    char *text = cm_asprintf("v=DKIM1; k=%s; p=%s", key->rsa ? "rsa" : "ed25519", p);
    free(p);
    return text;
}

char *sg_key_pem(const struct sg_key *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    cm_assert(PEM_write_bio_PrivateKey_traditional(bio, key->pkey, NULL, NULL, 0, NULL,
                                                   NULL) == 1);
    long n = BIO_get_mem_data(bio, &data);
    char *text = cm_strndup(data, (size_t)n);
    BIO_free(bio);
    return text;
}

/* ---- canonical forms, on whole texts ---- */

static struct sg_text steal(struct cm_buf *b)
{
    cm_assert(!b->overflow);
    struct sg_text t = {.len = b->len};
    t.data = cm_buf_steal(b);
    return t;
}

static size_t line_end(const char *p, size_t len)
{
    for (size_t i = 0; i + 1 < len; i++) {
        if (p[i] == '\r' && p[i + 1] == '\n') {
            return i;
        }
    }
    return len;
}

static void relaxed_line(struct cm_buf *out, const char *p, size_t len)
{
    while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t')) {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        bool blank = p[i] == ' ' || p[i] == '\t';
        if (blank && i > 0 && (p[i - 1] == ' ' || p[i - 1] == '\t')) {
            continue;
        }
        cm_buf_add(out, blank ? " " : &p[i], 1);
    }
}

struct sg_text sg_canon_body(bool relaxed, const char *body, size_t len)
{
    struct cm_buf b;
    cm_buf_init(&b, TEXT_MAX);
    while (len > 0) {
        size_t n = line_end(body, len);
        if (relaxed) {
            relaxed_line(&b, body, n);
        } else {
            cm_buf_add(&b, body, n);
        }
        cm_buf_str(&b, "\r\n");
        n += n < len ? 2 : 0;
        body += n;
        len -= n;
    }
    while (b.len >= 4 && memcmp(b.data + b.len - 4, "\r\n\r\n", 4) == 0) {
        b.len -= 2;
    }
    if (relaxed && b.len == 2) {
        b.len = 0;
    }
    if (b.cap > 0) {
        b.data[b.len] = 0;
    }
    if (!relaxed && b.len == 0) {
        cm_buf_str(&b, "\r\n");
    }
    return steal(&b);
}

struct sg_text sg_canon_field(bool relaxed, const char *field, size_t len)
{
    struct cm_buf b, flat;
    cm_buf_init(&b, TEXT_MAX);
    cm_buf_init(&flat, TEXT_MAX);
    if (!relaxed) {
        cm_buf_add(&b, field, len);
        return steal(&b);
    }
    const char *colon = memchr(field, ':', len);
    cm_assert(colon != NULL);
    const char *value = colon + 1, *end = field + len;
    while (colon > field && (colon[-1] == ' ' || colon[-1] == '\t')) {
        colon--;
    }
    for (const char *p = field; p < colon; p++) {
        char c = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
        cm_buf_add(&b, &c, 1);
    }
    cm_buf_str(&b, ":");
    for (const char *p = value; p < end; p++) {
        if (p + 1 < end && p[0] == '\r' && p[1] == '\n') {
            p++;
        } else {
            cm_buf_add(&flat, p, 1);
        }
    }
    size_t lead = strspn(flat.data, " \t");
    relaxed_line(&b, flat.data + lead, flat.len - lead);
    cm_buf_clear(&flat);
    return steal(&b);
}

/* ---- signing ---- */

struct field {
    const char *p;
    size_t len; /* without the last line end */
    bool used;
};

struct message {
    struct field field[512];
    unsigned count;
    const char *body;
    size_t body_len;
};

static void split(struct message *m, const char *p, size_t len)
{
    m->count = 0;
    while (len > 0 && !(p[0] == '\r' && p[1] == '\n')) {
        size_t n = line_end(p, len);
        while (n + 2 < len && (p[n + 2] == ' ' || p[n + 2] == '\t')) {
            n += 2 + line_end(p + n + 2, len - n - 2);
        }
        cm_assert(m->count < 512);
        m->field[m->count++] = (struct field){p, n, false};
        n += n < len ? 2 : 0;
        p += n;
        len -= n;
    }
    m->body = len > 0 ? p + 2 : p;
    m->body_len = len > 0 ? len - 2 : 0;
}

static struct field *take(struct message *m, const char *name, size_t n)
{
    for (unsigned i = m->count; i-- > 0;) {
        struct field *f = &m->field[i];
        const char *colon = memchr(f->p, ':', f->len);
        size_t own = colon != NULL ? (size_t)(colon - f->p) : 0;
        while (own > 0 && (f->p[own - 1] == ' ' || f->p[own - 1] == '\t')) {
            own--;
        }
        if (!f->used && own == n && strncasecmp(f->p, name, n) == 0) {
            f->used = true;
            return f;
        }
    }
    return NULL;
}

static struct sg_text header_text(const struct sg_how *how, struct message *m,
                                  bool relaxed, const char *own)
{
    struct cm_buf b;
    cm_buf_init(&b, TEXT_MAX);
    const char *p = how->h != NULL ? how->h : "from:to:subject";
    while (*p != '\0') {
        p += strspn(p, " \t\r\n:");
        size_t n = strcspn(p, " \t\r\n:");
        struct field *f = n > 0 ? take(m, p, n) : NULL;
        if (f != NULL) {
            struct sg_text t = sg_canon_field(relaxed, f->p, f->len);
            cm_buf_add(&b, t.data, t.len);
            cm_buf_str(&b, "\r\n");
            free(t.data);
        }
        p += n;
    }
    struct sg_text t = sg_canon_field(relaxed, own, strlen(own));
    cm_buf_add(&b, t.data, t.len);
    free(t.data);
    return steal(&b);
}

static char *make_b(const struct sg_how *how, struct sg_text text)
{
    unsigned char hash[32], sig[2048];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const char *alg = how->alg != NULL ? how->alg : "";
    const EVP_MD *md = how->key->rsa ? EVP_sha256() : NULL;
    const void *data = text.data;
    if (strcasecmp(alg, "rsa-sha1") == 0) {
        md = EVP_sha1();
    }
    if (!how->key->rsa) {
        cm_assert(EVP_Digest(text.data, text.len, hash, NULL, EVP_sha256(), NULL) == 1);
        data = hash;
        text.len = sizeof(hash);
    }
    cm_assert(EVP_DigestSignInit(ctx, NULL, md, NULL, how->key->pkey) == 1 &&
              EVP_DigestSign(ctx, sig, &len, data, text.len) == 1);
    EVP_MD_CTX_free(ctx);
    return base64(sig, len);
}

static char *make_bh(const struct sg_how *how, const struct message *m, bool relaxed)
{
    unsigned char hash[32];
    unsigned n;
    bool sha1 = how->alg != NULL && strcasecmp(how->alg, "rsa-sha1") == 0;
    struct sg_text body = sg_canon_body(relaxed, m->body, m->body_len);
    size_t len = body.len;
    if (how->body_length >= 0 && (size_t)how->body_length < len) {
        len = (size_t)how->body_length;
    }
    cm_assert(EVP_Digest(body.data, len, hash, &n, sha1 ? EVP_sha1() : EVP_sha256(),
                         NULL) == 1);
    free(body.data);
    return base64(hash, n);
}

static void add_folded(struct cm_buf *b, const char *text, bool fold)
{
    for (size_t n = strlen(text); fold && n > 60; n -= 60, text += 60) {
        cm_buf_fmt(b, "%.60s\r\n\t ", text);
    }
    cm_buf_str(b, text);
}

char *sg_signature(const struct sg_how *how, const char *message, size_t len)
{
    struct message m;
    struct cm_buf own;
    split(&m, message, len);
    const char *slash = how->canon != NULL ? strchr(how->canon, '/') : NULL;
    bool relaxed = how->canon != NULL && strncmp(how->canon, "relaxed", 7) == 0;
    char *bh = make_bh(how, &m, slash != NULL && strcmp(slash, "/relaxed") == 0);
    const char *alg = how->key->rsa ? "rsa-sha256" : "ed25519-sha256";
    cm_buf_init(&own, TEXT_MAX);
    cm_buf_fmt(&own, "DKIM-Signature: v=1; a=%s; d=%s; s=%s;%s",
               how->alg ? how->alg : alg, how->domain, how->selector,
               how->fold ? "\r\n\t" : " ");
    if (how->canon != NULL) {
        cm_buf_fmt(&own, "c=%s; ", how->canon);
    }
    if (how->body_length >= 0) {
        cm_buf_fmt(&own, "l=%ld; ", how->body_length);
    }
    cm_buf_fmt(&own, "%s h=%s; bh=", how->tags != NULL ? how->tags : "",
               how->h != NULL ? how->h : "from:to:subject");
    add_folded(&own, bh, how->fold);
    cm_buf_str(&own, how->fold ? ";\r\n b=" : "; b=");
    struct sg_text text = header_text(how, &m, relaxed, own.data);
    char *b = make_b(how, text);
    add_folded(&own, b, how->fold);
    free(b);
    free(bh);
    free(text.data);
    char *value = cm_strdup(own.data + strlen("DKIM-Signature:"));
    cm_buf_clear(&own);
    return value;
}

struct sg_text sg_sign(const struct sg_how *how, const char *message, size_t len)
{
    struct cm_buf out;
    cm_buf_init(&out, TEXT_MAX);
    char *value = sg_signature(how, message, len);
    cm_buf_fmt(&out, "DKIM-Signature:%s\r\n", value);
    cm_buf_add(&out, message, len);
    free(value);
    return steal(&out);
}
