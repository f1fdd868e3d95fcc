/* The key cache: TTLs, rollover, one lookup for many threads, nobody blocked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"

#include "dkim_keys.h"
#include "testing/checker.h"
#include "testing/dns_server.h"

#define ED "k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

static int get(struct dkim_keys *keys, const char *name, bool fresh, bool *cached)
{
    const struct dkim_key_set *set;
    struct cm_err err;
    int rc = dkim_keys_get(keys, name, fresh, &set, cached, &err);
    if (rc > 0) {
        assert_true(set->count > 0);
        assert_int_equal(set->key[0].flaw, DKIM_FLAW_NONE);
        dkim_keys_put(keys, &set);
    }
    return rc;
}

#define assert_asked(z, keys, name, want, asks)                                        \
    do {                                                                               \
        unsigned before_ = (z)->asked;                                                 \
        bool cached_ = false;                                                          \
        assert_int_equal(get(keys, name, false, &cached_), want);                      \
        assert_int_equal((z)->asked - before_, asks);                                  \
        assert_int_equal(cached_, (want) > 0 && (asks) == 0);                          \
    } while (0)

static void test_ttl(void **state)
{
    (void)state;
    struct ck_zone z = {0};
    ck_set(&z, "a", ED, 1);
    ck_set(&z, "zero", ED, 1);
    ck_set(&z, "long", ED, 1);
    z.row[0].ttl_s = 60;
    z.row[1].ttl_s = 0;
    z.row[2].ttl_s = 1000000;
    struct dkim_keys *keys = ck_keys(&z);
    assert_asked(&z, keys, "a", 1, 1);
    assert_asked(&z, keys, "a", 1, 0);
    cm_clock_shift(59000);
    assert_asked(&z, keys, "a", 1, 0);
    cm_clock_shift(60001);
    assert_asked(&z, keys, "a", 1, 1);
    assert_asked(&z, keys, "zero", 1, 1);
    assert_asked(&z, keys, "zero", 1, 1);
    cm_clock_shift(0);
    assert_asked(&z, keys, "long", 1, 1);
    cm_clock_shift(86390000);
    assert_asked(&z, keys, "long", 1, 0);
    cm_clock_shift(86400001);
    assert_asked(&z, keys, "long", 1, 1);
    cm_clock_shift(0);
    dkim_keys_free(&keys);
}

static void test_nothing_is_not_kept(void **state)
{
    (void)state;
    struct ck_zone z = {0};
    struct dkim_keys *keys = ck_keys(&z);
    assert_asked(&z, keys, "a", 0, 1);
    assert_asked(&z, keys, "a", 0, 1);
    ck_set(&z, "a", NULL, -1);
    assert_asked(&z, keys, "a", -1, 1);
    assert_asked(&z, keys, "a", -1, 1);
    ck_set(&z, "a", ED, 1);
    assert_asked(&z, keys, "a", 1, 1);
    assert_asked(&z, keys, "a", 1, 0);
    dkim_keys_free(&keys);
}

static void test_fresh_and_drop(void **state)
{
    (void)state;
    struct ck_zone z = {0};
    const struct dkim_key_set *old, *new;
    struct cm_err err;
    bool cached;
    ck_set(&z, "a", ED, 1);
    struct dkim_keys *keys = ck_keys(&z);
    assert_int_equal(dkim_keys_get(keys, "a", false, &old, &cached, &err), 1);
    assert_int_equal(dkim_keys_get(keys, "a", true, &new, &cached, &err), 1);
    assert_false(cached);
    assert_ptr_not_equal(old, new);
    dkim_keys_drop(keys, old); /* a newer one is there: stays */
    assert_asked(&z, keys, "a", 1, 0);
    dkim_keys_drop(keys, new);
    assert_asked(&z, keys, "a", 1, 1);
    assert_int_equal(old->key[0].flaw, DKIM_FLAW_NONE); /* still held */
    dkim_keys_put(keys, &old);
    dkim_keys_put(keys, &new);
    assert_null(old);
    dkim_keys_free(&keys);
}

static int always(void *ctx, const char *name, struct dkim_answer *out,
                  struct cm_err *err)
{
    (void)name;
    (void)err;
    (*(unsigned *)ctx)++;
    *out = (struct dkim_answer){
        .count = 1, .record = {cm_strdup(ED)}, .len = {sizeof(ED) - 1}, .ttl_s = 300};
    return 1;
}

static void test_bound(void **state)
{
    (void)state;
    unsigned asked = 0;
    struct dkim_keys_options o = {.cache_max = 3, .lookup = always, .ctx = &asked};
    struct cm_err err;
    bool cached;
    struct dkim_keys *keys = dkim_keys_new(&o, &err);
    static const char *const names[] = {"a", "b", "c", "a", "d", "a", "c", "b"};
    static const bool hits[] = {false, false, false, true, false, true, true, false};
    for (size_t i = 0; i < 8; i++) { /* d pushes out b, b pushes out d */
        cm_clock_shift((int64_t)i * 10);
        assert_int_equal(get(keys, names[i], false, &cached), 1);
        assert_int_equal(cached, hits[i]);
    }
    cm_clock_shift(0);
    for (int i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(get(keys, name, false, &cached), 1);
    }
    struct dkim_keys_counts counts;
    dkim_keys_count(keys, &counts);
    assert_int_equal(counts.hits, 3);
    assert_int_equal(counts.lookups, asked);
    dkim_keys_free(&keys);
}

/* ---- threads ---- */

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool open;
    unsigned inside;
    int result;
};

/* "slow" waits for the gate. */
static int gated(void *ctx, const char *name, struct dkim_answer *out,
                 struct cm_err *err)
{
    struct gate *g = ctx;
    unsigned asked = 0;
    int result = 1;
    if (strcmp(name, "slow") == 0) {
        pthread_mutex_lock(&g->lock);
        g->inside++;
        pthread_cond_broadcast(&g->moved);
        while (!g->open) {
            pthread_cond_wait(&g->moved, &g->lock);
        }
        result = g->result;
        pthread_mutex_unlock(&g->lock);
    }
    if (result < 0) {
        return cm_err_set(err, CM_ERR_RETRY, "as told");
    }
    return result > 0 ? always(&asked, name, out, err) : 0;
}

struct asker {
    pthread_t thread;
    struct dkim_keys *keys;
    int result;
};

static void *ask_slow(void *arg)
{
    struct asker *a = arg;
    const struct dkim_key_set *set;
    struct cm_err err;
    bool cached;
    a->result = dkim_keys_get(a->keys, "slow", false, &set, &cached, &err);
    if (a->result > 0) {
        dkim_keys_put(a->keys, &set);
    }
    return NULL;
}

static void together(int result)
{
    struct gate g = {.lock = PTHREAD_MUTEX_INITIALIZER,
                     .moved = PTHREAD_COND_INITIALIZER,
                     .result = result};
    struct dkim_keys_options o = {.lookup = gated, .ctx = &g};
    struct dkim_keys_counts counts;
    struct cm_err err;
    struct asker asker[24];
    struct dkim_keys *keys = dkim_keys_new(&o, &err);
    for (int i = 0; i < 24; i++) {
        asker[i].keys = keys;
        assert_int_equal(pthread_create(&asker[i].thread, NULL, ask_slow, &asker[i]),
                         0);
    }
    do {
        bool cached;
        usleep(1000);
        assert_int_equal(get(keys, "quick", false, &cached), 1); /* not held up */
        dkim_keys_count(keys, &counts);
    } while (counts.shared < 23);
    pthread_mutex_lock(&g.lock);
    assert_int_equal(g.inside, 1);
    g.open = true;
    pthread_cond_broadcast(&g.moved);
    pthread_mutex_unlock(&g.lock);
    for (int i = 0; i < 24; i++) {
        pthread_join(asker[i].thread, NULL);
        assert_int_equal(asker[i].result, result);
    }
    dkim_keys_count(keys, &counts);
    assert_int_equal(counts.lookups, 2); /* slow, quick */
    assert_int_equal(counts.trouble, result < 0);
    dkim_keys_free(&keys);
}

static void test_one_lookup_for_many(void **state)
{
    (void)state;
    together(1);
    together(0);
    together(-1);
}

/* Many threads, few names, a small cache, drops and short lives: for TSan and ASan. */
static void *churn(void *arg)
{
    struct dkim_keys *keys = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    for (int i = 0; i < 2000; i++) {
        char name[8];
        const struct dkim_key_set *set;
        struct cm_err err;
        bool cached;
        snprintf(name, sizeof(name), "n%d", rand_r(&seed) % 6);
        if (dkim_keys_get(keys, name, rand_r(&seed) % 8 == 0, &set, &cached, &err) >
            0) {
            if (rand_r(&seed) % 16 == 0) {
                dkim_keys_drop(keys, set);
            }
            cm_assert(set->key[0].flaw == DKIM_FLAW_NONE);
            dkim_keys_put(keys, &set);
        }
    }
    return NULL;
}

static void test_churn(void **state)
{
    (void)state;
    struct gate g = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct dkim_keys_options o = {.cache_max = 4, .lookup = gated, .ctx = &g};
    struct cm_err err;
    pthread_t thread[8];
    struct dkim_keys *keys = dkim_keys_new(&o, &err);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, churn, keys), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(thread[i], NULL);
    }
    struct dkim_keys_counts counts;
    dkim_keys_count(keys, &counts);
    assert_int_equal(counts.hits + counts.shared + counts.lookups, 16000);
    dkim_keys_free(&keys);
}

/* ---- with a real server ---- */

static void write_conf(const char *path, const struct ds_server *s)
{
    char text[64];
    struct cm_err err;
    snprintf(text, sizeof(text), "nameserver %s\n", ds_list(s));
    assert_int_equal(cm_file_replace(path, text, strlen(text), 0600, &err), 0);
}

static void test_resolv_conf(void **state)
{
    (void)state;
    struct ds_server *one = ds_start(), *two = ds_start();
    struct ds_row row = {.name = "a.example", .txt = {ED}, .ttl = 1};
    char dir[] = "/tmp/dkim-keys-XXXXXX", path[64];
    struct cm_err err;
    bool cached;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/resolv.conf", dir);
    ds_set(one, &row);
    ds_set(two, &row);
    write_conf(path, one);
    struct dkim_keys_options o = {.resolv_conf = path, .deadline_ms = 2000};
    struct dkim_keys *keys = dkim_keys_new(&o, &err);
    assert_int_equal(get(keys, "a.example", false, &cached), 1);
    assert_int_equal(get(keys, "a.example", false, &cached), 1);
    assert_true(cached);
    cm_clock_shift(1001);
    assert_int_equal(get(keys, "a.example", false, &cached), 1);
    assert_int_equal(ds_asked(one, "a.example"), 2);
    write_conf(path, two);
    assert_int_equal(get(keys, "a.example", true, &cached), 1);
    assert_int_equal(ds_asked(one, "a.example"), 2);
    assert_int_equal(ds_asked(two, "a.example"), 1);
    unlink(path); /* what was read last stays */
    assert_int_equal(get(keys, "a.example", true, &cached), 1);
    assert_int_equal(ds_asked(two, "a.example"), 2);
    cm_clock_shift(0);
    rmdir(dir);
    dkim_keys_free(&keys);
    ds_stop(&one);
    ds_stop(&two);
}

static void test_bad_options(void **state)
{
    (void)state;
    struct dkim_keys_options o = {.servers = "nowhere"};
    struct cm_err err;
    assert_null(dkim_keys_new(&o, &err));
    assert_int_equal(err.kind, CM_ERR_WORLD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ttl),
        cmocka_unit_test(test_nothing_is_not_kept),
        cmocka_unit_test(test_fresh_and_drop),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_one_lookup_for_many),
        cmocka_unit_test(test_churn),
        cmocka_unit_test(test_resolv_conf),
        cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
