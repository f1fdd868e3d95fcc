#include "dkim_body.h"

#include <stdlib.h>

#include "common/err.h"
#include "common/mem.h"

#include "dkim.h"
#include "dkim_canon.h"

struct want {
    bool relaxed;
    bool known;
    int64_t length;
    unsigned char hash[DKIM_HASH_SIZE];
};

/* One canonical form. */
struct pass {
    struct dkim_body *owner;
    bool wanted;
    int64_t done;   /* bytes hashed */
    int64_t needed; /* the greatest length that is asked for */
    struct dkim_hash *hash;
    struct dkim_canon canon;
};

struct dkim_body {
    struct want want[DKIM_SIGNATURES_MAX];
    unsigned want_count;
    struct pass pass[2];
};

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* One running hash serves all: where a length ends, a copy of it is finished.
 * How many bytes until the next is due. */
static int64_t next_stop(const struct pass *p)
{
    int64_t stop = p->needed;
    for (unsigned i = 0; i < p->owner->want_count; i++) {
        const struct want *w = &p->owner->want[i];
        if (w->relaxed == p->canon.relaxed && !w->known) {
            stop = min(stop, w->length);
        }
    }
    return stop - p->done;
}

static void take_due(struct pass *p, bool ended)
{
    for (unsigned i = 0; i < p->owner->want_count; i++) {
        struct want *w = &p->owner->want[i];
        bool due = w->length == p->done || (ended && w->length == DKIM_BODY_ALL);
        if (w->relaxed == p->canon.relaxed && !w->known && due) {
            dkim_hash_peek(p->hash, w->hash);
            w->known = true;
        }
    }
}

static void hash_piece(void *ctx, const void *data, size_t len)
{
    struct pass *p = ctx;
    const char *at = data;
    while (len > 0 && p->done < p->needed) {
        int64_t n = min((int64_t)len, next_stop(p));
        dkim_hash_add(p->hash, at, (size_t)n);
        p->done += n;
        at += n;
        len -= (size_t)n;
        take_due(p, false);
    }
}

struct dkim_body *dkim_body_new(void)
{
    return cm_calloc(1, sizeof(struct dkim_body));
}

void dkim_body_free(struct dkim_body **b)
{
    if (*b != NULL) {
        dkim_hash_free(&(*b)->pass[0].hash);
        dkim_hash_free(&(*b)->pass[1].hash);
        free(*b);
        *b = NULL;
    }
}

unsigned dkim_body_want(struct dkim_body *b, bool relaxed, int64_t length)
{
    struct pass *p = &b->pass[relaxed];
    cm_assert(b->want_count < DKIM_SIGNATURES_MAX);
    if (!p->wanted) {
        p->wanted = true;
        p->owner = b;
        p->hash = dkim_hash_new();
        dkim_canon_begin(&p->canon, relaxed, hash_piece, p);
    }
    p->needed = length > p->needed ? length : p->needed;
    b->want[b->want_count] = (struct want){.relaxed = relaxed, .length = length};
    b->want_count++;
    take_due(p, false); /* l=0 */
    return b->want_count - 1;
}

void dkim_body_add(struct dkim_body *b, const void *data, size_t len)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pass *p = &b->pass[i];
        if (p->wanted && p->done < p->needed) { /* behind the last l= nothing counts */
            dkim_canon_body(&p->canon, data, len);
        }
    }
}

void dkim_body_end(struct dkim_body *b)
{
    for (unsigned i = 0; i < 2; i++) {
        if (b->pass[i].wanted) {
            dkim_canon_end(&b->pass[i].canon);
            take_due(&b->pass[i], true);
        }
    }
}

const unsigned char *dkim_body_hash(const struct dkim_body *b, unsigned want)
{
    cm_assert(want < b->want_count);
    return b->want[want].known ? b->want[want].hash : NULL;
}
