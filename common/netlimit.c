#include "common/netlimit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/netlimit_local.h"

#define SECRET_KEY   "netlimit:secret"
#define SECRET_LEN   64 /* hex digits */
#define SECRET_DAY_S "86400"
#define NAMES_MAX    2  /* network and gateway */
#define HASH_BYTES   16 /* of the HMAC, in a key */
#define STALE_MAX    3  /* secrets that change under one event */

/* Fetches the secret; the first to ask makes it. */
static struct cm_redis_script script_secret = {
    .source = "local s = redis.call('GET', KEYS[1]) "
              "if not s then s = ARGV[1] "
              "redis.call('SET', KEYS[1], s, 'EX', " SECRET_DAY_S ") end "
              "return s"};

/* KEYS: the secret, then one or two hashes of minute -> events. ARGV: the secret that
 * their names were made with, this minute, then the limit of each hash. Returns which
 * hash is full (0: none, -1: the secret is another now) and the minute, counted from
 * 1970, at which it has room. Minutes that a clock put back has left in the future go
 * too. REPL_NONE: counts are not in the append-only file, whose every write is synced,
 * and Redis answers nobody meanwhile. */
static struct cm_redis_script script_count = {
    .source = "redis.set_repl(redis.REPL_NONE) "
              "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {-1, 0} end "
              "local now = tonumber(ARGV[2]) "
              "for i = 2, #KEYS do "
              "  local max, sum, kept = tonumber(ARGV[i + 1]), 0, {} "
              "  local flat = redis.call('HGETALL', KEYS[i]) "
              "  for j = 1, #flat, 2 do "
              "    local minute, n = tonumber(flat[j]), tonumber(flat[j + 1]) "
              "    if minute > now - 60 and minute <= now + 1 then "
              "      sum = sum + n kept[#kept + 1] = {minute, n} "
              "    else redis.call('HDEL', KEYS[i], flat[j]) end "
              "  end "
              "  if sum >= max then "
              "    table.sort(kept, function(a, b) return a[1] < b[1] end) "
              "    local at = now "
              "    for _, slot in ipairs(kept) do "
              "      if sum >= max then sum = sum - slot[2] at = slot[1] end "
              "    end "
              "    return {i - 1, at + 60} "
              "  end "
              "end "
              "for i = 2, #KEYS do "
              "  redis.call('HINCRBY', KEYS[i], ARGV[2], 1) "
              "  redis.call('EXPIRE', KEYS[i], 3660) "
              "end "
              "return {0, 0}"};

/* What is counted, before it is hashed. */
struct name {
    enum cm_netlimit_verdict full; /* the answer when it is */
    int64_t max;
    unsigned char bytes[18]; /* kind, family, address */
    size_t len;
};

/* One event on its way. It outlives its netlimit when Redis still owes an answer. */
struct event {
    struct cm_netlimit *limit; /* NULL: freed, cb has been called */
    struct event *next;
    struct event **prev;
    struct name names[NAMES_MAX];
    size_t name_count;
    int stale; /* times that the secret was another */
    cm_netlimit_cb cb;
    void *ctx;
};

struct cm_netlimit {
    struct cm_redis *redis;
    char *what;
    char secret[SECRET_LEN + 1]; /* "" : not known */
    struct netlimit_local *local;
    struct event *events;
};

static void ask_secret(struct event *event);

/* Names */

static bool is_loopback(const unsigned char *v6, const unsigned char *v4)
{
    static const unsigned char one[16] = {[15] = 1};
    return v4 != NULL ? v4[0] == 127 : memcmp(v6, one, 16) == 0;
}

/* Returns 4 or 16 bytes in out, or 0. A mapped address is the IPv4 one it maps. */
static size_t parse(const char *text, unsigned char out[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    unsigned char v6[16];
    size_t len = 0;
    if (text == NULL) {
        return 0;
    }
    if (inet_pton(AF_INET, text, out) == 1) {
        len = 4;
    } else if (inet_pton(AF_INET6, text, v6) == 1) {
        len = memcmp(v6, mapped, sizeof(mapped)) == 0 ? 4 : 16;
        memcpy(out, v6 + (len == 4 ? 12 : 0), len);
    }
    return len > 0 && is_loopback(out, len == 4 ? out : NULL) ? 0 : len;
}

/* A tunnel has an address in each family, 10.77.N.0/30 and fd77:N::/64 with N in
 * decimal digits (docs/bus.md); both are the same gateway. */
static int tunnel_number(const unsigned char *addr, size_t len)
{
    static const unsigned char rest[11] = {0};
    if (len == 4) {
        return addr[0] == 10 && addr[1] == 77 ? addr[2] : 0;
    }
    if (addr[0] != 0xfd || addr[1] != 0x77 || memcmp(addr + 4, rest, 11) != 0) {
        return 0;
    }
    int n = 0;
    for (int shift = 12; shift >= 0; shift -= 4) {
        n = 10 * n + (((addr[2] << 8 | addr[3]) >> shift) & 15);
    }
    return n < 256 ? n : 0;
}

static void add_name(struct event *event, enum cm_netlimit_verdict full, char kind,
                     int64_t max, const unsigned char *addr, size_t len)
{
    struct name *name = &event->names[event->name_count++];
    *name = (struct name){.full = full, .max = max, .len = 2 + len};
    name->bytes[0] = (unsigned char)kind;
    name->bytes[1] = (unsigned char)len;
    memcpy(name->bytes + 2, addr, len);
}

static void name_all(struct event *event, const char *client, const char *local,
                     const struct cm_netlimit_max *max)
{
    unsigned char addr[16];
    size_t len = parse(client, addr);
    if (len > 0 && max->per_net > 0) {
        add_name(event, CM_NETLIMIT_NET, 'n', max->per_net, addr, len == 4 ? 3 : 6);
    }
    len = parse(local, addr);
    if (len > 0 && max->per_gateway > 0) {
        unsigned char number = (unsigned char)tunnel_number(addr, len);
        const unsigned char *what = number > 0 ? &number : addr;
        add_name(event, CM_NETLIMIT_GATEWAY, 'g', max->per_gateway, what,
                 number > 0 ? 1 : len);
    }
}

/* Events */

static struct event *event_new(struct cm_netlimit *limit, cm_netlimit_cb cb, void *ctx)
{
    struct event *event = cm_calloc(1, sizeof(*event));
    event->limit = limit;
    event->cb = cb;
    event->ctx = ctx;
    event->next = limit->events;
    event->prev = &limit->events;
    if (event->next != NULL) {
        event->next->prev = &event->next;
    }
    limit->events = event;
    return event;
}

static void event_unlink(struct event *event)
{
    *event->prev = event->next;
    if (event->next != NULL) {
        event->next->prev = event->prev;
    }
}

static void event_end(struct event *event, enum cm_netlimit_verdict verdict,
                      int64_t retry_after_s)
{
    cm_netlimit_cb cb = event->cb;
    void *ctx = event->ctx;
    event_unlink(event);
    free(event);
    cb(verdict, retry_after_s, ctx);
}

static int64_t now_s(void)
{
    return cm_now_wall_ms() / 1000;
}

/* Exact for a network, which a stranger chooses; a gateway's IPv6 address is folded. */
static uint64_t local_name(const struct name *name)
{
    uint64_t folded = 0;
    for (size_t i = 0; i < name->len; i++) {
        folded = (folded << 8 | folded >> 56) ^ name->bytes[i];
    }
    return folded;
}

static void count_here(struct event *event)
{
    struct cm_netlimit *limit = event->limit;
    int64_t now = now_s(), retry_after = 0;
    if (limit->local == NULL) {
        limit->local = netlimit_local_new();
    }
    for (size_t i = 0; i < event->name_count; i++) {
        const struct name *name = &event->names[i];
        if (!netlimit_local_room(limit->local, local_name(name), name->max, now,
                                 &retry_after)) {
            event_end(event, name->full, retry_after);
            return;
        }
    }
    for (size_t i = 0; i < event->name_count; i++) {
        netlimit_local_add(limit->local, local_name(&event->names[i]), now);
    }
    event_end(event, CM_NETLIMIT_OK, 0);
}

/* Redis */

/* True: the netlimit is gone and the event with it. */
static bool is_orphan(struct event *event)
{
    if (event->limit != NULL) {
        return false;
    }
    free(event);
    return true;
}

static void on_count(const struct cm_redis_value *value, const struct cm_err *err,
                     void *ctx)
{
    (void)err;
    struct event *event = ctx;
    if (is_orphan(event)) {
        return;
    }
    if (value == NULL || value->type != CM_REDIS_LIST || value->len != 2) {
        count_here(event);
        return;
    }
    int64_t full = value->items[0].integer;
    if (full < 0 && event->stale++ < STALE_MAX) {
        ask_secret(event);
    } else if (full < 0 || full > (int64_t)event->name_count) {
        count_here(event);
    } else if (full == 0) {
        event_end(event, CM_NETLIMIT_OK, 0);
    } else {
        int64_t wait = value->items[1].integer * NETLIMIT_SLOT_S - now_s();
        event_end(event, event->names[full - 1].full, wait > 0 ? wait : 1);
    }
}

static char *key_of(const struct cm_netlimit *limit, const struct name *name)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    char hex[2 * HASH_BYTES + 1];
    cm_assert(HMAC(EVP_sha256(), limit->secret, SECRET_LEN, name->bytes, name->len, mac,
                   NULL) != NULL);
    for (size_t i = 0; i < HASH_BYTES; i++) {
        snprintf(hex + 2 * i, 3, "%02x", mac[i]);
    }
    return cm_asprintf("netlimit:%s:%s", limit->what, hex);
}

static void ask_count(struct event *event)
{
    struct cm_netlimit *limit = event->limit;
    struct cm_redis_arg keys[1 + NAMES_MAX] = {{SECRET_KEY, strlen(SECRET_KEY)}};
    struct cm_redis_arg args[2 + NAMES_MAX] = {{limit->secret, SECRET_LEN}};
    char *text[NAMES_MAX] = {NULL}, numbers[1 + NAMES_MAX][24];
    size_t n = event->name_count;
    snprintf(numbers[0], sizeof(numbers[0]), "%lld",
             (long long)(now_s() / NETLIMIT_SLOT_S));
    for (size_t i = 0; i < n; i++) {
        text[i] = key_of(limit, &event->names[i]);
        keys[1 + i] = (struct cm_redis_arg){text[i], strlen(text[i])};
        snprintf(numbers[1 + i], sizeof(numbers[0]), "%lld",
                 (long long)event->names[i].max);
    }
    for (size_t i = 0; i <= n; i++) {
        args[1 + i] = (struct cm_redis_arg){numbers[i], strlen(numbers[i])};
    }
    cm_redis_eval(limit->redis, &script_count, keys, 1 + n, args, 2 + n, on_count,
                  event);
    for (size_t i = 0; i < n; i++) {
        free(text[i]);
    }
}

static void on_secret(const struct cm_redis_value *value, const struct cm_err *err,
                      void *ctx)
{
    (void)err;
    struct event *event = ctx;
    if (is_orphan(event)) {
        return;
    }
    if (value == NULL || value->type != CM_REDIS_TEXT || value->len != SECRET_LEN) {
        count_here(event);
        return;
    }
    memcpy(event->limit->secret, value->text, SECRET_LEN);
    ask_count(event);
}

static void ask_secret(struct event *event)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[SECRET_LEN / 2];
    char fresh[SECRET_LEN];
    cm_assert(getrandom(raw, sizeof(raw), 0) == (ssize_t)sizeof(raw));
    for (size_t i = 0; i < SECRET_LEN; i++) {
        fresh[i] = digits[(raw[i / 2] >> (i % 2 * 4)) & 15];
    }
    struct cm_redis_arg key = {SECRET_KEY, strlen(SECRET_KEY)};
    struct cm_redis_arg arg = {fresh, sizeof(fresh)};
    cm_redis_eval(event->limit->redis, &script_secret, &key, 1, &arg, 1, on_secret,
                  event);
    cm_wipe(raw, sizeof(raw));
    cm_wipe(fresh, sizeof(fresh));
}

void cm_netlimit_count(struct cm_netlimit *limit, const char *client, const char *local,
                       const struct cm_netlimit_max *max, cm_netlimit_cb cb, void *ctx)
{
    struct event *event = event_new(limit, cb, ctx);
    name_all(event, client, local, max);
    if (event->name_count == 0) {
        event_end(event, CM_NETLIMIT_OK, 0);
    } else if (limit->secret[0] == '\0') {
        ask_secret(event);
    } else {
        ask_count(event);
    }
}

struct cm_netlimit *cm_netlimit_new(struct cm_loop *loop, struct cm_redis *redis,
                                    const char *what)
{
    (void)loop; /* Redis' callbacks come from it */
    struct cm_netlimit *limit = cm_calloc(1, sizeof(*limit));
    limit->redis = redis;
    limit->what = cm_strdup(what);
    return limit;
}

void cm_netlimit_free(struct cm_netlimit **limitp)
{
    struct cm_netlimit *limit = *limitp;
    if (limit == NULL) {
        return;
    }
    *limitp = NULL;
    while (limit->events != NULL) {
        struct event *event = limit->events;
        event_unlink(event);
        event->limit = NULL; /* its memory goes with the answer of Redis */
        event->cb(CM_NETLIMIT_OK, 0, event->ctx);
    }
    netlimit_local_free(&limit->local);
    cm_wipe(limit->secret, sizeof(limit->secret));
    free(limit->what);
    free(limit);
}
