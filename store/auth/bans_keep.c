#include "bans_keep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/hmac.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"

#define BOOT_ID    "/proc/sys/kernel/random/boot_id"
#define SECRET_MAX 64
#define KEY_PREFIX "bans:"
#define KEY_BYTES  16 /* of the HMAC */
#define KEY_LEN    (sizeof(KEY_PREFIX) - 1 + 2 * KEY_BYTES)
#define FORMAT     1 /* the first byte of a record */
#define HEAD       offsetof(struct bans_record, guesses)

/* An empty value, or a life of nothing, drops the key. */
static struct cm_redis_script script_save = {
    .source = "redis.set_repl(redis.REPL_NONE) "
              "if ARGV[1] == '' then redis.call('DEL', KEYS[1]) "
              "else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end"};

struct load {
    struct bans_keep *keep; /* NULL: freed */
    struct load *next;
    struct load **prev;
    unsigned char source[CM_SOURCE_LEN];
};

struct bans_keep {
    struct cm_redis *redis;
    bans_keep_cb cb;
    void *ctx;
    char secret[SECRET_MAX];
    size_t secret_len;
    uint64_t seed;
    struct load *loads;
};

/* ---- records ---- */

size_t bans_record_dump(const struct bans_record *record, unsigned char *out)
{
    size_t len = HEAD + record->guess_count * sizeof(record->guesses[0]);
    out[0] = FORMAT;
    memcpy(out + 1, record, len);
    return 1 + len;
}

bool bans_record_parse(const void *data, size_t len, int64_t now_ms,
                       struct bans_record *record_r)
{
    struct bans_record r = {0};
    const unsigned char *bytes = data;
    if (len < 1 + HEAD || len > 1 + sizeof(r) || bytes[0] != FORMAT) {
        return false;
    }
    memcpy(&r, bytes + 1, len - 1);
    if (r.guess_count > BANS_GUESSES || r.refused >= BANS_REFUSED ||
        len != 1 + HEAD + r.guess_count * sizeof(r.guesses[0]) || r.window_ms < 0 ||
        r.window_ms > now_ms || r.welcome_ms > now_ms ||
        (r.welcome_ms < 0 && r.welcome_ms != BANS_NEVER)) {
        return false;
    }
    *record_r = r;
    return true;
}

/* How long it still says anything; 0: not at all. */
static int64_t life_ms(const struct bans_record *record)
{
    int64_t now = cm_now_mono_ms(), life = 0;
    if (record->guess_count > 0 || record->refused > 0) {
        life = record->window_ms + BANS_WINDOW_MS - now;
    }
    if (record->welcome_ms != BANS_NEVER) {
        int64_t welcome = record->welcome_ms + BANS_WELCOME_MS - now;
        life = welcome > life ? welcome : life;
    }
    return life > 0 ? life : 0;
}

/* ---- keys ---- */

static void hmac(const struct bans_keep *keep, const void *data, size_t len,
                 unsigned char mac[EVP_MAX_MD_SIZE])
{
    cm_assert(HMAC(EVP_sha256(), keep->secret, (int)keep->secret_len, data, len, mac,
                   NULL) != NULL);
}

static struct cm_redis_arg key_of(const struct bans_keep *keep,
                                  const unsigned char *source, char out[KEY_LEN + 1])
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    hmac(keep, source, CM_SOURCE_LEN, mac);
    size_t at = (size_t)snprintf(out, KEY_LEN + 1, KEY_PREFIX);
    for (size_t i = 0; i < KEY_BYTES; i++) {
        at += (size_t)snprintf(out + at, KEY_LEN + 1 - at, "%02x", mac[i]);
    }
    return (struct cm_redis_arg){out, KEY_LEN};
}

/* Without a boot id what is kept is for this process only. */
static void take_secret(struct bans_keep *keep)
{
    static const char what[] = "guesses"; /* no source has this length */
    unsigned char mac[EVP_MAX_MD_SIZE];
    char *id = NULL;
    size_t len = 0;
    struct cm_err err;
    if (cm_file_read(BOOT_ID, SECRET_MAX, &id, &len, &err) == 1 && len > 0) {
        memcpy(keep->secret, id, len);
        keep->secret_len = len;
    } else {
        ssize_t n = getrandom(keep->secret, 32, 0);
        cm_assert(n == 32); /* never short for so few bytes */
        keep->secret_len = 32;
    }
    free(id);
    hmac(keep, what, sizeof(what), mac);
    memcpy(&keep->seed, mac, sizeof(keep->seed));
}

uint64_t bans_keep_seed(const struct bans_keep *keep)
{
    return keep->seed;
}

/* ---- Redis ---- */

static void store(struct bans_keep *keep, const unsigned char *source, const void *data,
                  size_t len, int64_t ms)
{
    char key[KEY_LEN + 1], life[24];
    struct cm_redis_arg keys[] = {key_of(keep, source, key)};
    snprintf(life, sizeof(life), "%" PRId64, ms);
    struct cm_redis_arg args[] = {{data, len}, {life, strlen(life)}};
    cm_redis_eval(keep->redis, &script_save, keys, 1, args, 2, NULL, NULL);
}

void bans_keep_save(struct bans_keep *keep, const unsigned char *source,
                    const struct bans_record *record)
{
    unsigned char data[1 + sizeof(*record)];
    int64_t life = life_ms(record);
    store(keep, source, data, life > 0 ? bans_record_dump(record, data) : 0, life);
}

void bans_keep_drop(struct bans_keep *keep, const unsigned char *source)
{
    store(keep, source, "", 0, 0);
}

static void load_unlink(struct load *load)
{
    *load->prev = load->next;
    if (load->next != NULL) {
        load->next->prev = load->prev;
    }
}

static void on_loaded(const struct cm_redis_value *value, const struct cm_err *err,
                      void *ctx)
{
    (void)err;
    struct load *load = ctx;
    struct bans_record record;
    if (load->keep != NULL) {
        bool found =
            value != NULL && value->type == CM_REDIS_TEXT &&
            bans_record_parse(value->text, value->len, cm_now_mono_ms(), &record);
        load_unlink(load);
        load->keep->cb(load->source, found ? &record : NULL, load->keep->ctx);
    }
    free(load);
}

void bans_keep_load(struct bans_keep *keep, const unsigned char *source)
{
    struct load *load = cm_calloc(1, sizeof(*load));
    char key[KEY_LEN + 1];
    struct cm_redis_arg argv[] = {{"GET", 3}, key_of(keep, source, key)};
    memcpy(load->source, source, CM_SOURCE_LEN);
    load->keep = keep;
    load->next = keep->loads;
    load->prev = &keep->loads;
    if (load->next != NULL) {
        load->next->prev = &load->next;
    }
    keep->loads = load;
    cm_redis_command(keep->redis, argv, 2, on_loaded, load);
}

/* ---- life ---- */

struct bans_keep *bans_keep_new(struct cm_redis *redis, bans_keep_cb cb, void *ctx)
{
    struct bans_keep *keep = cm_calloc(1, sizeof(*keep));
    keep->redis = redis;
    keep->cb = cb;
    keep->ctx = ctx;
    take_secret(keep);
    return keep;
}

void bans_keep_free(struct bans_keep **keep)
{
    if (*keep == NULL) {
        return;
    }
    for (struct load *load = (*keep)->loads; load != NULL; load = load->next) {
        load->keep = NULL;
    }
    explicit_bzero((*keep)->secret, sizeof((*keep)->secret));
    free(*keep);
    *keep = NULL;
}
