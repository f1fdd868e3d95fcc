/* On a temporary tree: walking, trimming, removing. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"

#include "crew.h"
#include "dir.h"
#include "tree.h"
#include "trim.h"
#include "walk.h"

#define BOX "user@example.org"
#define NOW INT64_C(1800000000)
#define DAY INT64_C(86400)
#define MIB INT64_C(1048576)

static char root[64];
static int base;

static void put(const char *path, size_t size)
{
    char full[512], dir[512];
    struct cm_err err;
    snprintf(full, sizeof(full), "%s/%s", root, path);
    snprintf(dir, sizeof(dir), "%s", full);
    *strrchr(dir, '/') = '\0';
    assert_int_equal(cm_file_mkdirs(dir, 0700, &err), 0);
    int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

static void put_message(const char *sub, int64_t time, int64_t size)
{
    char path[256];
    snprintf(path, sizeof(path), BOX "/%s/%lld.M%lld.h,S=%lld,W=%lld:2,S", sub,
             (long long)time, (long long)size, (long long)size, (long long)size);
    put(path, 10); /* gzip: smaller on the disk than S= says */
}

static bool there(const char *path)
{
    return faccessat(base, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int setup(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/test-expire-XXXXXX");
    assert_non_null(mkdtemp(root));
    base = open(root, O_RDONLY | O_DIRECTORY);
    return base < 0;
}

static int teardown(void **state)
{
    (void)state;
    struct cm_err err;
    int64_t files;
    close(base);
    return tree_remove(AT_FDCWD, root, &files, &err);
}

struct seen {
    int64_t size[4], count[4];
    int inbox;
};

static void on_file(const struct walk_file *file, void *ctx)
{
    struct seen *seen = ctx;
    seen->size[file->kind] += file->size;
    seen->count[file->kind]++;
    seen->inbox += file->inbox && file->kind != WALK_EXTRA;
}

static void test_walk(void **state) /* relay-spec.md 6.11, 1, 2, 8 */
{
    (void)state;
    struct seen seen = {0};
    struct cm_err err;
    put(BOX "/cur/a", 500);
    put(BOX "/new/b", 600);
    put(BOX "/.DeltaChat/cur/c", 7);
    put(BOX "/.DeltaChat/new/d", 8);
    put(BOX "/dovecot.index", 100);
    put(BOX "/cur/deeper/e", 3);
    put("outside/cur/f", 1000);
    assert_int_equal(symlinkat("../outside", base, BOX "/.Link"), 0);
    assert_int_equal(symlinkat("../../outside/cur/f", base, BOX "/cur/link"), 0);
    assert_int_equal(mkfifoat(base, BOX "/new/fifo", 0600), 0);
    assert_int_equal(walk_mailbox(base, BOX, on_file, &seen, &err), 0);
    assert_int_equal(seen.size[WALK_CUR], 507);
    assert_int_equal(seen.size[WALK_NEW], 608);
    assert_int_equal(seen.size[WALK_EXTRA], 103);
    assert_int_equal(seen.inbox, 2);
    memset(&seen, 0, sizeof(seen));
    assert_int_equal(walk_mailbox(base, "gone@x", on_file, &seen, &err), 0);
    assert_int_equal(seen.count[WALK_EXTRA], 0);
}

static void test_walk_deep(void **state)
{
    (void)state;
    char path[400] = BOX;
    struct seen seen = {0};
    struct cm_err err;
    for (int i = 0; i < 20; i++) {
        snprintf(path + strlen(path), sizeof(path) - strlen(path), "/d%d", i);
        char file[420];
        snprintf(file, sizeof(file), "%s/f", path);
        put(file, 1);
    }
    assert_int_equal(walk_mailbox(base, BOX, on_file, &seen, &err), 0);
    assert_int_equal(seen.count[WALK_EXTRA], WALK_DEPTH);
}

static void test_large_dir(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct cm_err err;
    int64_t files = 0;
    for (int i = 0; i < 3000; i++) {
        char path[128];
        snprintf(path, sizeof(path), BOX "/cur/%d.a-long-name-of-a-message", i);
        put(path, 1);
    }
    assert_int_equal(walk_mailbox(base, BOX, on_file, &seen, &err), 0);
    assert_int_equal(seen.count[WALK_CUR], 3000);
    assert_int_equal(tree_remove(base, BOX, &files, &err), 0);
    assert_int_equal(files, 3000);
    assert_false(there(BOX));
    assert_int_equal(tree_remove(base, BOX, &files, &err), 0);
}

static void test_tree_keeps_outside(void **state)
{
    (void)state;
    struct cm_err err;
    int64_t files = 0;
    put("outside/f", 1);
    put(BOX "/cur/a", 1);
    assert_int_equal(symlinkat("../outside", base, BOX "/.Link"), 0);
    assert_int_equal(tree_remove(base, BOX, &files, &err), 0);
    assert_true(there("outside/f"));
    assert_int_equal(symlinkat("outside", base, "link@x"), 0);
    assert_int_equal(tree_remove(base, "link@x", &files, &err), -1);
    assert_true(there("outside/f"));
}

static void test_trim(void **state) /* 6.11, 10, 11 */
{
    (void)state;
    struct trim_result result;
    struct cm_err err;
    put_message("cur", NOW - 10 * DAY, MIB);
    put_message("new", NOW - 5 * DAY, MIB + 1);
    put_message("cur", NOW, MIB + 2);
    put_message(".Other/cur", NOW - 20 * DAY, 9 * MIB);
    put(BOX "/cur/msg_without_structure", (size_t)(9 * MIB));
    put(BOX "/maildirsize", 5);
    assert_int_equal(trim_inbox(base, BOX, 4 * MIB, NOW, &result, &err), 0);
    assert_int_equal(result.removed, 0);
    assert_true(there(BOX "/maildirsize"));
    assert_int_equal(trim_inbox(base, BOX, MIB, NOW, &result, &err), 0);
    assert_int_equal(result.removed, 2);
    assert_int_equal(result.bytes, 2 * MIB + 1);
    assert_false(there(BOX "/maildirsize"));
    assert_true(there(BOX "/cur/msg_without_structure"));
    assert_int_equal(trim_inbox(base, BOX, 0, NOW, &result, &err), 0);
    assert_int_equal(result.removed, 0); /* the rest is under 24 hours */
    assert_int_equal(trim_inbox(base, "none@x", 0, NOW, &result, &err), -1);
}

static void test_trim_order(void **state)
{
    (void)state;
    struct trim_result result;
    struct cm_err err;
    put_message("cur", NOW - 3 * DAY, 300);
    put_message("cur", NOW - 3 * DAY, 200);
    put_message("new", NOW - 2 * DAY, 100);
    assert_int_equal(trim_inbox(base, BOX, 400, NOW, &result, &err), 0);
    assert_int_equal(result.bytes, 200); /* same time: the smaller first */
    assert_int_equal(trim_inbox(base, BOX, 399, NOW, &result, &err), 0);
    assert_int_equal(result.bytes, 300);
}

static void test_trim_many(void **state) /* more than is remembered in one round */
{
    (void)state;
    struct trim_result result;
    struct cm_err err;
    for (int i = 0; i < 10000; i++) {
        put_message(i % 2 ? "cur" : "new", NOW - 9 * DAY - (i * 7919) % 10000, 10);
    }
    assert_int_equal(trim_inbox(base, BOX, 1000, NOW, &result, &err), 0);
    assert_int_equal(result.removed, 9900);
    struct dir dir;
    struct dir_entry entry;
    int64_t time, size;
    int kept = 0;
    assert_int_equal(dir_open(&dir, base, BOX "/cur"), 0);
    while (dir_next(&dir, &entry) == 1) {
        assert_true(trim_parse(entry.name, &time, &size));
        assert_true(time > NOW - 9 * DAY - 100);
        kept++;
    }
    dir_close(&dir);
    assert_int_equal(kept, 50);
}

static void *trim_at_once(void *arg)
{
    struct cm_err err;
    assert_int_equal(trim_inbox(base, BOX, 500, NOW, arg, &err), 0);
    return NULL;
}

static void test_two_warnings_at_once(void **state)
{
    (void)state;
    struct trim_result results[4];
    pthread_t threads[4];
    int64_t removed = 0;
    for (int i = 0; i < 1000; i++) {
        put_message("cur", NOW - 9 * DAY + i, 10);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, trim_at_once, &results[i]),
                         0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        removed += results[i].removed;
    }
    assert_int_equal(removed, 950); /* and not one more */
}

static void count_job(const struct crew_job *job, void *worker)
{
    int64_t *sum = worker;
    *sum += job->seen;
}

static void test_crew(void **state)
{
    (void)state;
    int64_t sums[3] = {0};
    void *workers[3] = {&sums[0], &sums[1], &sums[2]};
    struct crew *crew = crew_new(3, count_job, workers);
    for (int i = 1; i <= 5000; i++) {
        struct crew_job job = {.seen = i};
        crew_give(crew, &job);
    }
    crew_free(&crew);
    assert_null(crew);
    assert_int_equal(sums[0] + sums[1] + sums[2], 5000 * 5001 / 2);
    crew_free(&crew);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_walk),
        TEST(test_walk_deep),
        TEST(test_large_dir),
        TEST(test_tree_keeps_outside),
        TEST(test_trim),
        TEST(test_trim_order),
        TEST(test_trim_many),
        TEST(test_two_warnings_at_once),
        cmocka_unit_test(test_crew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
