#include "bans.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/source.h"

#include "bans_keep.h"

#define BUCKETS 4096 /* a power of two */
/* A login is told to Redis again only when so much time has passed. */
#define WELCOME_AGAIN_MS (3600 * INT64_C(1000))

#define TEXT(x)  #x
#define VALUE(x) TEXT(x)

static const struct cm_pg_statement add_stmt = {
    "ban_add", "select ban_add($1, " VALUE(BANS_SECONDS) ", $2, false)"};

struct source {
    unsigned char address[CM_SOURCE_LEN];
    struct source *hash_next;
    struct source *older, *newer; /* by when it was heard of last */
    int64_t window_ms;            /* when the present window began */
    int64_t welcome_ms;           /* last login; BANS_NEVER: none */
    int64_t welcome_kept_ms;      /* what Redis has been told of that */
    bool loading;                 /* judged when it is known what Redis knows */
    unsigned refused;
    unsigned guess_count;
    uint32_t *guesses; /* BANS_GUESSES of them, or NULL */
};

struct bans {
    struct cm_pg *pg;
    struct counts *counts;
    struct bans_keep *keep;
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
        bans_keep_drop(b->keep, b->oldest->address);
        source_free(b, b->oldest);
    }
    struct source *s = cm_calloc(1, sizeof(*s));
    struct source **bucket = bucket_of(b, address);
    memcpy(s->address, address, CM_SOURCE_LEN);
    s->welcome_ms = BANS_NEVER;
    s->welcome_kept_ms = BANS_NEVER;
    s->loading = true;
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

static struct source *find(struct bans *b, const unsigned char *address)
{
    struct source *s = *bucket_of(b, address);
    while (s != NULL && memcmp(s->address, address, CM_SOURCE_LEN) != 0) {
        s = s->hash_next;
    }
    return s;
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
    struct source *s = find(b, address);
    if (s == NULL) {
        s = source_new(b, address);
        begin_anew(s, now);
        bans_keep_load(b->keep, address);
    } else {
        list_remove(b, s);
        list_append(b, s);
    }
    if (now - s->window_ms > BANS_WINDOW_MS) {
        begin_anew(s, now);
    }
    return s;
}

/* Not before Redis has said what it has: that is added first. */
static void save(struct bans *b, struct source *s)
{
    if (s->loading) {
        return;
    }
    struct bans_record record = {.window_ms = s->window_ms,
                                 .welcome_ms = s->welcome_ms,
                                 .refused = s->refused,
                                 .guess_count = s->guess_count};
    if (s->guess_count > 0) {
        memcpy(record.guesses, s->guesses, s->guess_count * sizeof(*s->guesses));
    }
    s->welcome_kept_ms = s->welcome_ms;
    bans_keep_save(b->keep, s->address, &record);
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
    save(b, s);
    b->counts->banned++;
    cm_log(CM_LOG_WARNING, "source_banned", "reason", reason, NULL);
    cm_pg_query(b->pg, &add_stmt, params, 2, on_added, NULL);
}

static bool is_welcome(const struct source *s)
{
    return s->welcome_ms != BANS_NEVER &&
           cm_now_mono_ms() - s->welcome_ms < BANS_WELCOME_MS;
}

static void add_guess(struct source *s, uint32_t guess)
{
    for (unsigned i = 0; i < s->guess_count; i++) {
        if (s->guesses[i] == guess) {
            return;
        }
    }
    if (s->guesses == NULL) {
        s->guesses = cm_calloc(BANS_GUESSES, sizeof(*s->guesses));
    }
    if (s->guess_count < BANS_GUESSES) {
        s->guesses[s->guess_count++] = guess;
    }
}

/* Both counts have stopped at their limits while it was loading. */
static void judge(struct bans *b, struct source *s)
{
    if (s->loading) {
        return;
    }
    if (s->refused >= BANS_REFUSED) {
        ban(b, s, "too many new accounts");
    } else if (s->guess_count >= BANS_GUESSES && !is_welcome(s)) {
        ban(b, s, "wrong passwords");
    } else {
        save(b, s);
    }
}

/* What the process before us had counted, and what we have since we asked for it. */
static void on_kept(const unsigned char *address, const struct bans_record *kept,
                    void *ctx)
{
    struct bans *b = ctx;
    struct source *s = find(b, address);
    if (s == NULL || !s->loading) {
        return;
    }
    s->loading = false;
    if (kept == NULL) {
        judge(b, s);
        return;
    }
    if (kept->welcome_ms > s->welcome_ms) {
        s->welcome_ms = kept->welcome_ms;
    }
    if (s->window_ms - kept->window_ms <= BANS_WINDOW_MS) {
        s->window_ms = kept->window_ms;
        s->refused += kept->refused;
        for (unsigned i = 0; i < kept->guess_count; i++) {
            add_guess(s, kept->guesses[i]);
        }
    }
    judge(b, s);
}

void bans_failed(struct bans *b, const char *client, const char *user,
                 const char *password)
{
    struct source *s = source_of(b, client);
    b->counts->wrong++;
    if (s == NULL || is_welcome(s)) {
        return;
    }
    /* With the NUL between them. */
    uint32_t guess =
        (uint32_t)mix(mix(b->key, user, strlen(user) + 1), password, strlen(password));
    unsigned before = s->guess_count;
    add_guess(s, guess);
    if (s->guess_count != before) {
        judge(b, s);
    }
}

void bans_refused(struct bans *b, const char *client)
{
    struct source *s = source_of(b, client);
    if (s != NULL) {
        s->refused++;
        judge(b, s);
    }
}

void bans_welcome(struct bans *b, const char *client)
{
    struct source *s = source_of(b, client);
    if (s == NULL) {
        return;
    }
    s->welcome_ms = cm_now_mono_ms();
    if (s->welcome_kept_ms == BANS_NEVER ||
        s->welcome_ms - s->welcome_kept_ms >= WELCOME_AGAIN_MS) {
        save(b, s);
    }
}

/* ---- life ---- */

struct bans *bans_new(struct cm_pg *pg, struct cm_redis *redis, struct counts *counts)
{
    struct bans *b = cm_calloc(1, sizeof(*b));
    b->keep = bans_keep_new(redis, on_kept, b);
    b->key = bans_keep_seed(b->keep);
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
    bans_keep_free(&(*bans)->keep);
    free(*bans);
    *bans = NULL;
}
