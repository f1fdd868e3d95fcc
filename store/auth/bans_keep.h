/* bans_keep: what bans.h has counted of a source, in Redis, for the next process.
 *
 * Written behind: nobody waits for it, and what Redis does not take is lost. Neither an
 * address nor anything of a password is in it: a key is an HMAC of the source, made
 * with the boot id of this machine, which is on no disk; times are of its monotonic
 * clock. So what was kept means nothing after a reboot, and is not read then. Not in
 * the append-only file (REPL_NONE), and gone by itself when it is of no use any more.
 */
#ifndef AUTH_BANS_KEEP_H
#define AUTH_BANS_KEEP_H

#include "common/redis.h"
#include "common/source.h"

#include "bans.h"

/* Times: cm_now_mono_ms(). */
struct bans_record {
    int64_t window_ms;  /* when the window began */
    int64_t welcome_ms; /* last login; BANS_NEVER: none */
    uint32_t refused;   /* below BANS_REFUSED */
    uint32_t guess_count;
    uint32_t guesses[BANS_GUESSES];
};

#define BANS_NEVER INT64_MIN

/* At most sizeof(struct bans_record) + 1 bytes; returns how many. */
size_t bans_record_dump(const struct bans_record *record, unsigned char *out);
/* False, and record_r untouched: not one, or of the future. */
bool bans_record_parse(const void *data, size_t len, int64_t now_ms,
                       struct bans_record *record_r);

struct bans_keep;

/* record is NULL when there is none or it cannot be had. */
typedef void (*bans_keep_cb)(const unsigned char *source,
                             const struct bans_record *record, void *ctx);

/* redis outlives it. Each load is answered once, perhaps
 * before bans_keep_load() returns, and never after bans_keep_free(). */
struct bans_keep *bans_keep_new(struct cm_redis *redis, bans_keep_cb cb, void *ctx);
void bans_keep_free(struct bans_keep **keep);
/* Where hashes of guesses begin, the same for every process of this boot. */
uint64_t bans_keep_seed(const struct bans_keep *keep);
void bans_keep_load(struct bans_keep *keep, const unsigned char *source);
void bans_keep_save(struct bans_keep *keep, const unsigned char *source,
                    const struct bans_record *record);
/* Nothing is known of it any more. */
void bans_keep_drop(struct bans_keep *keep, const unsigned char *source);

#endif
