#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dirs[2][64];

static int make(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(dirs[i], sizeof(dirs[i]), "/tmp/test-watch-XXXXXX");
        if (mkdtemp(dirs[i]) == NULL)
            return -1;
    }
    return 0;
}

static int drop(void **state)
{
    (void)state;
    return rmdir(dirs[0]) | rmdir(dirs[1]);
}

static int both(void)
{
    const char *paths[] = {dirs[0], dirs[1]};

    return watch_open(paths, 2);
}

static void a_file_that_comes_is_an_event(void **state)
{
    char path[80];
    int fd = both();

    (void)state;
    assert_true(fd >= 0);
    assert_false(watch_pending(fd));
    assert_int_equal(watch_drain(fd), 0);
    snprintf(path, sizeof(path), "%s/mail", dirs[1]);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_true(watch_pending(fd));
    assert_int_equal(watch_drain(fd), 1);
    assert_false(watch_pending(fd));
    unlink(path);
    assert_int_equal(watch_drain(fd), 1);
    close(fd);
}

static void a_flood_is_taken_whole(void **state)
{
    int fd = both();

    (void)state;
    for (int i = 0; i < 2000; i++)
        assert_int_equal(watch_poke(dirs[0]), 0);
    assert_int_equal(watch_drain(fd), 4000);
    assert_false(watch_pending(fd));
    close(fd);
}

static void a_poke_reaches_every_watch_and_leaves_nothing(void **state)
{
    int one = both(), two = both();

    (void)state;
    assert_int_equal(watch_poke(dirs[0]), 0);
    assert_true(watch_pending(one));
    assert_true(watch_pending(two));
    close(one);
    close(two); /* rmdir of the teardown proves that the directory is empty */
}

static void what_is_missing_is_named(void **state)
{
    const char *paths[] = {dirs[0], "/nowhere"};

    (void)state;
    assert_int_equal(watch_open(paths, 2), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(watch_poke("/nowhere"), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(watch_drain(-1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_comes_is_an_event),
        cmocka_unit_test(a_flood_is_taken_whole),
        cmocka_unit_test(a_poke_reaches_every_watch_and_leaves_nothing),
        cmocka_unit_test(what_is_missing_is_named),
    };

    return cmocka_run_group_tests(tests, make, drop);
}
