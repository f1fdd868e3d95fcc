#include "bans.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/source.h"

#define BUCKETS  4096 /* a power of two */
#define TEXT(x)  #x
#define VALUE(x) TEXT(x)

static const struct cm_pg_statement add_stmt = {
    "ban_add", "select ban_add($1, " VALUE(BANS_SECONDS) ", $2, false)"};

struct source {
    unsigned char address[CM_SOURCE_LEN];
    struct source *hash_next;
    struct source *older, *newer; /* by when it was heard of last */
    int64_t window_ms;            /* when the present window began */
    int64_t welcome_ms;           /* last login; -1: never */
    unsigned refused;
    unsigned guess_count;
    uint32_t *guesses; /* BANS_GUESSES of them, or NULL */
};

struct bans {
    struct cm_pg *pg;
    struct counts *counts;
    uint64_t key; /* nobody outside can choose pairs that hash alike */
    struct source *buckets[BUCKETS];
    struct source *oldest, *newest;
    size_t count;
};

/* FNV-1a; goes on from h. */
static uint64_t mix(uint64_t h, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ bytes[i]) * UINT64_C(1099511628211);
    }
    return h ^ h >> 29;
}

static struct source **bucket_of(struct bans *b, const unsigned char *address)
{
    return &b->buckets[mix(b->key, address, CM_SOURCE_LEN) % BUCKETS];
}

/* ---- sources ---- */

static void list_remove(struct bans *b, struct source *s)
{
    *(s->older != NULL ? &s->older->newer : &b->oldest) = s->newer;
    *(s->newer != NULL ? &s->newer->older : &b->newest) = s->older;
}

static void list_append(struct bans *b, struct source *s)
{
    s->older = b->newest;
    s->newer = NULL;
    *(s->older != NULL ? &s->older->newer : &b->oldest) = s;
    b->newest = s;
}

static void source_free(struct bans *b, struct source *s)
{
    struct source **at = bucket_of(b, s->address);
    while (*at != s) {
        at = &(*at)->hash_next;
    }
    *at = s->hash_next;
    list_remove(b, s);
    b->count--;
    free(s->guesses);
    free(s);
}

static struct source *source_new(struct bans *b, const unsigned char *address)
{
    if (b->count == BANS_SOURCES) {
        source_free(b, b->oldest);
    }
    struct source *s = cm_calloc(1, sizeof(*s));
    struct source **bucket = bucket_of(b, address);
    memcpy(s->address, address, CM_SOURCE_LEN);
    s->welcome_ms = -1;
    s->hash_next = *bucket;
    *bucket = s;
    list_append(b, s);
    b->count++;
    return s;
}

static void begin_anew(struct source *s, int64_t now)
{
    s->window_ms = now;
    s->refused = 0;
    s->guess_count = 0;
}

/* NULL when it is nobody who can be banned. */
static struct source *source_of(struct bans *b, const char *client)
{
    unsigned char address[CM_SOURCE_LEN];
    struct cm_err err;
    int64_t now = cm_now_mono_ms();
    if (cm_source_parse(client, address, &err) != 0 || !cm_source_is_public(address)) {
        return NULL;
    }
    struct source *s = *bucket_of(b, address);
    while (s != NULL && memcmp(s->address, address, CM_SOURCE_LEN) != 0) {
        s = s->hash_next;
    }
    if (s == NULL) {
        s = source_new(b, address);
        begin_anew(s, now);
    } else {
        list_remove(b, s);
        list_append(b, s);
    }
    if (now - s->window_ms > BANS_WINDOW_MS) {
        begin_anew(s, now);
    }
    return s;
}

/* ---- the ban ---- */

static void on_added(const struct cm_pg_result *res, const struct cm_err *err,
                     void *ctx)
{
    (void)ctx;
    if (res == NULL) {
        cm_log_err(CM_LOG_WARNING, "ban_failed", err);
    } else if (cm_pg_rows(res) != 1 || strcmp(cm_pg_value(res, 0, 0), "banned") != 0) {
        cm_log(CM_LOG_WARNING, "ban_failed", "reason", "there are as many as can be",
               NULL);
    }
}

/* Counted and begun anew before the answer: what is under way goes on failing. */
static void ban(struct bans *b, struct source *s, const char *reason)
{
    char text[CM_SOURCE_TEXT];
    const char *params[] = {text, reason};
    cm_source_text(s->address, true, text);
    begin_anew(s, cm_now_mono_ms());
    b->counts->banned++;
    cm_log(CM_LOG_WARNING, "source_banned", "reason", reason, NULL);
    cm_pg_query(b->pg, &add_stmt, params, 2, on_added, NULL);
}

static bool is_new_guess(const struct source *s, uint32_t guess)
{
    for (unsigned i = 0; i < s->guess_count; i++) {
        if (s->guesses[i] == guess) {
            return false;
        }
    }
    return true;
}

void bans_failed(struct bans *b, const char *client, const char *user,
                 const char *password)
{
    struct source *s = source_of(b, client);
    b->counts->wrong++;
    if (s == NULL ||
        (s->welcome_ms >= 0 && cm_now_mono_ms() - s->welcome_ms < BANS_WELCOME_MS)) {
        return;
    }
    /* With the NUL between them. */
    uint32_t guess =
        (uint32_t)mix(mix(b->key, user, strlen(user) + 1), password, strlen(password));
    if (s->guesses == NULL) {
        s->guesses = cm_calloc(BANS_GUESSES, sizeof(*s->guesses));
    }
    if (is_new_guess(s, guess)) {
        s->guesses[s->guess_count++] = guess;
    }
    if (s->guess_count == BANS_GUESSES) {
        ban(b, s, "wrong passwords");
    }
}

void bans_refused(struct bans *b, const char *client)
{
    struct source *s = source_of(b, client);
    if (s != NULL && ++s->refused == BANS_REFUSED) {
        ban(b, s, "too many new accounts");
    }
}

void bans_welcome(struct bans *b, const char *client)
{
    struct source *s = source_of(b, client);
    if (s != NULL) {
        s->welcome_ms = cm_now_mono_ms();
    }
}

/* ---- life ---- */

struct bans *bans_new(struct cm_pg *pg, struct counts *counts)
{
    struct bans *b = cm_calloc(1, sizeof(*b));
    ssize_t n = getrandom(&b->key, sizeof(b->key), 0);
    cm_assert(n == sizeof(b->key)); /* never short for so few bytes */
    b->pg = pg;
    b->counts = counts;
    return b;
}

void bans_free(struct bans **bans)
{
    if (*bans == NULL) {
        return;
    }
    while ((*bans)->oldest != NULL) {
        source_free(*bans, (*bans)->oldest);
    }
    free(*bans);
    *bans = NULL;
}
