#include "dkim.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

#include "dkim_body.h"
#include "dkim_headers.h"
#include "dkim_sig.h"

/* A signature that may still pass. */
struct candidate {
    struct dkim_sig sig;
    unsigned body; /* number of its body hash */
    unsigned char header_hash[DKIM_HASH_SIZE];
};

struct dkim {
    struct dkim_headers headers; /* until dkim_headers_end */
    unsigned signatures;         /* DKIM-Signature fields seen */
    unsigned signature_field[DKIM_SIGNATURES_MAX];
    struct candidate *candidate[DKIM_SIGNATURES_MAX];
    unsigned candidate_count;
    struct dkim_body *body; /* NULL: no candidate needs it */
    enum dkim_flaw flaw;    /* the greatest so far */
    bool overflow;
};

struct dkim *dkim_new(void)
{
    struct dkim *d = cm_calloc(1, sizeof(*d));
    dkim_headers_init(&d->headers);
    return d;
}

void dkim_free(struct dkim **dp)
{
    struct dkim *d = *dp;
    if (d == NULL) {
        return;
    }
    for (unsigned i = 0; i < d->candidate_count; i++) {
        free(d->candidate[i]);
    }
    dkim_body_free(&d->body);
    dkim_headers_clear(&d->headers);
    free(d);
    *dp = NULL;
}

static void note_flaw(struct dkim *d, enum dkim_flaw flaw)
{
    d->flaw = flaw > d->flaw ? flaw : d->flaw;
}

void dkim_header(struct dkim *d, const char *name, size_t name_len, const char *value,
                 size_t value_len)
{
    struct dkim_span span = dkim_trim((struct dkim_span){name, name_len});
    if (dkim_span_is(span, "DKIM-Signature")) {
        if (d->signatures < DKIM_SIGNATURES_MAX) {
            d->signature_field[d->signatures] = d->headers.count;
        }
        d->signatures++;
    }
    dkim_headers_add(&d->headers, name, name_len, value, value_len);
}

/* All that a signature needs of the header is taken here, so that the header need not
 * stay while the body runs through. */
static void consider(struct dkim *d, unsigned field, const char *from_domain)
{
    const struct dkim_field *f = &d->headers.field[field];
    struct candidate *c = cm_malloc(sizeof(*c));
    enum dkim_flaw flaw =
        dkim_sig_read(&c->sig, f->value.p, f->value.len, from_domain, cm_now_wall_ms());
    if (flaw == DKIM_FLAW_NONE &&
        c->sig.from < dkim_headers_count(&d->headers, "from")) {
        flaw = DKIM_FLAW_FROM;
    }
    if (flaw != DKIM_FLAW_NONE) {
        note_flaw(d, flaw);
        free(c);
        return;
    }
    dkim_headers_hash(&d->headers, c->sig.relaxed_header, c->sig.h, field, c->sig.b_raw,
                      c->header_hash);
    if (d->body == NULL) {
        d->body = dkim_body_new();
    }
    c->body = dkim_body_want(d->body, c->sig.relaxed_body, c->sig.body_length);
    d->candidate[d->candidate_count++] = c;
}

void dkim_headers_end(struct dkim *d, const char *from_domain)
{
    d->overflow = d->headers.overflow;
    dkim_headers_seal(&d->headers);
    for (unsigned i = 0; i < DKIM_SIGNATURES_MAX && i < d->signatures; i++) {
        if (!d->overflow) {
            consider(d, d->signature_field[i], from_domain);
        }
    }
    dkim_headers_clear(&d->headers);
}

void dkim_body(struct dkim *d, const void *data, size_t len)
{
    if (d->body != NULL) {
        dkim_body_add(d->body, data, len);
    }
}

/* ---- the end ---- */

/* The least flaw that a key of the set leaves: one that fits is enough. */
static enum dkim_flaw try_keys(const struct candidate *c,
                               const struct dkim_key_set *set)
{
    enum dkim_flaw best = DKIM_FLAW_KEY;
    for (unsigned i = 0; i < set->count; i++) {
        const struct dkim_key *k = &set->key[i];
        enum dkim_flaw flaw = k->flaw;
        if (flaw == DKIM_FLAW_NONE && k->alg != c->sig.alg) {
            flaw = DKIM_FLAW_KEY;
        } else if (flaw == DKIM_FLAW_NONE && k->strict && !c->sig.exact) {
            flaw = DKIM_FLAW_STRICT;
        } else if (flaw == DKIM_FLAW_NONE &&
                   !dkim_pubkey_fits(k->pubkey, c->header_hash, c->sig.b,
                                     c->sig.b_len)) {
            flaw = DKIM_FLAW_SIGNATURE;
        }
        if (flaw == DKIM_FLAW_NONE) {
            return flaw;
        }
        best = flaw > best ? flaw : best;
    }
    return best;
}

/* 1: it passes. 0: it does not, d->flaw is noted. -1: DNS trouble. */
static int ask(struct dkim *d, const struct candidate *c, struct dkim_keys *keys)
{
    for (bool fresh = false;; fresh = true) {
        const struct dkim_key_set *set;
        bool cached;
        struct cm_err err;
        int found = dkim_keys_get(keys, c->sig.key_name, fresh, &set, &cached, &err);
        if (found <= 0) {
            note_flaw(d, found == 0 ? DKIM_FLAW_NO_KEY : DKIM_FLAW_NONE);
            return found;
        }
        enum dkim_flaw flaw = try_keys(c, set);
        /* The set stays usable while it is held: other threads may just be using it. */
        if (flaw != DKIM_FLAW_NONE) {
            dkim_keys_drop(keys, set);
        }
        dkim_keys_put(keys, &set);
        if (flaw == DKIM_FLAW_NONE) {
            return 1;
        }
        if (!cached) { /* DNS said so a moment ago; asking again would change nothing */
            note_flaw(d, flaw);
            return 0;
        }
    }
}

static bool body_fits(const struct dkim *d, const struct candidate *c)
{
    const unsigned char *hash = dkim_body_hash(d->body, c->body);
    return hash != NULL && memcmp(hash, c->sig.body_hash, DKIM_HASH_SIZE) == 0;
}

/* Keys are asked for only where all else is right: what fails without one is proven,
 * whatever DNS does. */
static enum dkim_verdict judge(struct dkim *d, struct dkim_keys *keys)
{
    int64_t deadline_ms = cm_now_mono_ms() + DKIM_END_MAX_MS;
    bool trouble = false;
    for (unsigned i = 0; i < d->candidate_count; i++) {
        if (!body_fits(d, d->candidate[i])) {
            note_flaw(d, DKIM_FLAW_BODY);
            continue;
        }
        int passed =
            cm_now_mono_ms() < deadline_ms ? ask(d, d->candidate[i], keys) : -1;
        if (passed > 0) {
            return DKIM_PASS;
        }
        trouble |= passed < 0;
    }
    return trouble ? DKIM_RETRY : DKIM_FAIL;
}

enum dkim_verdict dkim_end(struct dkim *d, struct dkim_keys *keys, const char **reason)
{
    if (d->signatures == 0) {
        *reason = "no signature";
        return DKIM_NONE;
    }
    if (d->overflow) {
        *reason = "header too large";
        return DKIM_FAIL;
    }
    if (d->body != NULL) {
        dkim_body_end(d->body);
    }
    enum dkim_verdict verdict = judge(d, keys);
    *reason = verdict == DKIM_PASS    ? "valid"
              : verdict == DKIM_RETRY ? "key lookup failed"
                                      : dkim_flaw_text(d->flaw);
    return verdict;
}
