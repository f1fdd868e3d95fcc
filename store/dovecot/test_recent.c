#include "recent.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW 1800000000

static char dir[64], path[128];

static int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test-recent-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/box/recent", dir);
    char box[80];
    snprintf(box, sizeof(box), "%s/box", dir);
    return mkdir(box, 0700);
}

static int drop(void **state)
{
    (void)state;
    unlink(path);
    *strrchr(path, '/') = '\0';
    return rmdir(path) | rmdir(dir);
}

static void name_it(unsigned n, unsigned char digest[RECENT_DIGEST])
{
    memset(digest, 0x5a, RECENT_DIGEST);
    memcpy(digest + RECENT_DIGEST - sizeof(n), &n, sizeof(n));
}

static bool begin(struct recent *r, unsigned n, int64_t now_s)
{
    unsigned char digest[RECENT_DIGEST];
    name_it(n, digest);
    return recent_begin(r, path, digest, now_s);
}

/* Comes, is saved if it is new. Returns whether it was known. */
static bool comes(unsigned n, int64_t now_s)
{
    struct recent r;
    bool known = begin(&r, n, now_s);
    recent_end(&r, !known);
    return known;
}

static void a_second_copy_is_known(void **state)
{
    (void)state;
    assert_false(comes(1, NOW));
    assert_false(comes(2, NOW));
    assert_true(comes(1, NOW + 1));
    assert_true(comes(2, NOW + RECENT_DAY_S - 1));
    assert_false(comes(1, NOW + RECENT_DAY_S));
}

static void what_could_not_be_saved_comes_again(void **state)
{
    struct recent r;
    (void)state;
    assert_false(begin(&r, 1, NOW));
    recent_end(&r, false);
    assert_false(comes(1, NOW));
    assert_true(comes(1, NOW));
}

static void the_oldest_makes_room(void **state)
{
    struct stat st;
    (void)state;
    for (unsigned n = 0; n < RECENT_KEPT; n++)
        assert_false(comes(n, NOW + n));
    for (unsigned n = 0; n < RECENT_KEPT; n++)
        assert_true(comes(n, NOW + RECENT_KEPT));
    assert_false(comes(1000, NOW + RECENT_KEPT));
    assert_true(comes(1, NOW + RECENT_KEPT));
    assert_false(comes(0, NOW + RECENT_KEPT)); /* and 1 made room for it */
    assert_true(comes(2, NOW + RECENT_KEPT));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, RECENT_FILE);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_clock_that_went_back_forgets(void **state)
{
    (void)state;
    assert_false(comes(1, NOW));
    assert_true(comes(1, NOW - 3600));
    assert_false(comes(1, NOW - 2 * RECENT_DAY_S));
    for (unsigned n = 10; n < 10 + RECENT_KEPT; n++)
        assert_false(comes(n, NOW - 2 * RECENT_DAY_S));
    assert_true(comes(11, NOW - 2 * RECENT_DAY_S));
}

/* A mailbox is made by its first delivery. */
static void the_first_delivery_makes_the_directory(void **state)
{
    struct recent r;
    char box[128];
    (void)state;
    snprintf(box, sizeof(box), "%s", path);
    *strrchr(box, '/') = '\0';
    assert_int_equal(rmdir(box), 0);
    assert_false(begin(&r, 1, NOW));
    assert_int_equal(mkdir(box, 0700), 0);
    recent_end(&r, true);
    assert_true(comes(1, NOW));
}

static void a_file_of_another_kind_knows_of_none(void **state)
{
    FILE *f = fopen(path, "w");
    (void)state;
    assert_non_null(f);
    for (int i = 0; i < 2 * RECENT_FILE; i++)
        fputc(i * 7 % 251, f);
    assert_int_equal(fclose(f), 0);
    assert_false(comes(1, NOW));
    assert_true(comes(1, NOW));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_false(comes(1, NOW));
    assert_false(comes(1, NOW));
}

/* Whoever hangs with the lock holds nobody up for long, and nothing is refused. */
static void a_lock_that_is_held_is_waited_for_a_while(void **state)
{
    (void)state;
    assert_false(comes(1, NOW));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_false(comes(1, NOW));
    assert_int_equal(close(fd), 0);
    assert_true(comes(1, NOW));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make, drop)
    const struct CMUnitTest tests[] = {
        T(a_second_copy_is_known),
        T(what_could_not_be_saved_comes_again),
        T(the_oldest_makes_room),
        T(a_clock_that_went_back_forgets),
        T(the_first_delivery_makes_the_directory),
        T(a_file_of_another_kind_knows_of_none),
        T(a_lock_that_is_held_is_waited_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
