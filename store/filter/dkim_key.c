#include "dkim_key.h"

#include <string.h>

#include "dkim_tags.h"

/* Room for the DER of the greatest RSA key. */
#define KEY_DATA_MAX 2048

static size_t normalise(const char *record, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (record[i] == '\0' || strchr(" \t\r\n\"", record[i]) == NULL) {
            out[n++] = record[i];
        }
    }
    return n;
}

static bool list_has(const struct dkim_tag *t, const char *a, const char *b)
{
    struct dkim_span rest = t->value, item;
    while (dkim_list_next(&rest, &item)) {
        if (dkim_span_is(item, a) || (b != NULL && dkim_span_is(item, b))) {
            return true;
        }
    }
    return false;
}

/* What the record is for: v=, h=, s=. */
static bool for_mail(const struct dkim_tags *tags)
{
    const struct dkim_tag *v = dkim_tags_find(tags, "v");
    const struct dkim_tag *h = dkim_tags_find(tags, "h");
    const struct dkim_tag *s = dkim_tags_find(tags, "s");
    return (v == NULL || (v == &tags->tag[0] && v->value.len == 5 &&
                          memcmp(v->value.p, "DKIM1", 5) == 0)) &&
           (h == NULL || list_has(h, "sha256", NULL)) &&
           (s == NULL || list_has(s, "*", "email"));
}

static enum dkim_flaw read_record(struct dkim_key *key, const struct dkim_tags *tags)
{
    const struct dkim_tag *k = dkim_tags_find(tags, "k");
    const struct dkim_tag *p = dkim_tags_find(tags, "p");
    const struct dkim_tag *t = dkim_tags_find(tags, "t");
    unsigned char data[KEY_DATA_MAX];
    size_t len;
    if (!for_mail(tags) || p == NULL) {
        return DKIM_FLAW_KEY;
    }
    if (k == NULL || dkim_span_is(k->value, "rsa")) {
        key->alg = DKIM_RSA_SHA256;
    } else if (dkim_span_is(k->value, "ed25519")) {
        key->alg = DKIM_ED25519_SHA256;
    } else {
        return DKIM_FLAW_KEY;
    }
    if (p->value.len == 0) {
        return DKIM_FLAW_REVOKED;
    }
    if (!dkim_base64(p->value, data, sizeof(data), &len)) {
        return DKIM_FLAW_KEY;
    }
    enum dkim_flaw flaw;
    key->strict = t != NULL && list_has(t, "s", NULL);
    key->pubkey = dkim_pubkey_new(key->alg, data, len, &flaw);
    return flaw;
}

void dkim_key_read(struct dkim_key *key, const char *record, size_t len)
{
    struct dkim_tags tags;
    char text[DKIM_RECORD_MAX];
    *key = (struct dkim_key){.flaw = DKIM_FLAW_KEY};
    if (len <= DKIM_RECORD_MAX &&
        dkim_tags_parse_loose(&tags, text, normalise(record, len, text))) {
        key->flaw = read_record(key, &tags);
    }
}

void dkim_key_clear(struct dkim_key *key)
{
    dkim_pubkey_free(&key->pubkey);
}
