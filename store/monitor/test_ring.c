/* The ring: minutes, hours, gaps, restarts, a damaged file, more series than places. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ring.h"

#define T0 1800000000 /* begins an hour */

static char path[] = "/tmp/test-ring-XXXXXX";
static float out[RING_POINTS];

static struct ring *open_ring(void)
{
    struct cm_err err;
    struct ring *r = ring_open(path, &err);
    assert_string_equal(err.text, "");
    return r;
}

static void add(struct ring *r, int64_t at, const char *name, double value)
{
    struct cm_err err;
    struct ring_sample s = {.value = value};
    snprintf(s.name, sizeof(s.name), "%s", name);
    assert_int_equal(ring_add(r, at, &s, 1, &err), 0);
}

static float last(const struct ring *r, const char *name, enum ring_tier tier,
                  int64_t now, size_t back)
{
    size_t n = ring_read(r, name, tier, now, out);
    assert_int_equal(n, tier == RING_TIER_DAY ? RING_DAY : RING_MONTH);
    return out[n - 1 - back];
}

static int fresh(void **state)
{
    (void)state;
    return truncate(path, 0);
}

static void minutes(void **state)
{
    (void)state;
    struct ring *r = open_ring();
    add(r, T0, "queue", 4);
    add(r, T0 + 20, "queue", 8);
    assert_true(last(r, "queue", RING_TIER_DAY, T0 + 30, 0) == 6);
    add(r, T0 + 120, "queue", 1);
    assert_true(last(r, "queue", RING_TIER_DAY, T0 + 120, 0) == 1);
    assert_true(isnan(last(r, "queue", RING_TIER_DAY, T0 + 120, 1)));
    assert_true(last(r, "queue", RING_TIER_DAY, T0 + 120, 2) == 6);
    assert_true(last(r, "queue", RING_TIER_MONTH, T0 + 120, 0) == 3.5f);
    assert_int_equal(ring_read(r, "other", RING_TIER_DAY, T0, out), 0);
    assert_int_equal(ring_read(r, "", RING_TIER_DAY, T0, out), 0);
    ring_close(&r);
    /* It is there after a restart. */
    r = open_ring();
    assert_true(last(r, "queue", RING_TIER_DAY, T0 + 120, 2) == 6);
    assert_true(last(r, "queue", RING_TIER_MONTH, T0 + 3600, 1) == 3.5f);
    ring_close(&r);
}

static void a_day_later(void **state)
{
    (void)state;
    struct ring *r = open_ring();
    add(r, T0, "queue", 4);
    add(r, T0 + 86400, "queue", 5);
    ring_read(r, "queue", RING_TIER_DAY, T0 + 86400, out);
    for (size_t i = 0; i + 1 < RING_DAY; i++)
        assert_true(isnan(out[i]));
    assert_true(out[RING_DAY - 1] == 5);
    assert_true(last(r, "queue", RING_TIER_MONTH, T0 + 86400, 24) == 4);
    ring_close(&r);
}

static void size_is_fixed(void **state)
{
    (void)state;
    struct stat before, after;
    struct ring *r = open_ring();
    assert_int_equal(stat(path, &before), 0);
    for (int i = 0; i < 3000; i++)
        add(r, T0 + 60 * i, i % 2 ? "a" : "b", i);
    ring_close(&r);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    assert_true(after.st_size < 1 << 20);
    assert_int_equal(after.st_mode & 0777, 0600);
}

static void damaged(void **state)
{
    (void)state;
    static const char bad[] = "portico ring 0\nnothing";
    struct cm_err err;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fwrite(bad, 1, sizeof(bad), f);
    fclose(f);
    struct ring *r = ring_open(path, &err);
    assert_non_null(strstr(err.text, "started anew"));
    add(r, T0, "queue", 4);
    ring_close(&r);
    r = open_ring();
    assert_true(last(r, "queue", RING_TIER_DAY, T0, 0) == 4);
    ring_close(&r);
    r = ring_open("/nowhere/at/all", &err);
    assert_non_null(strstr(err.text, "in memory only"));
    add(r, T0, "queue", 4);
    assert_true(last(r, "queue", RING_TIER_DAY, T0, 0) == 4);
    ring_close(&r);
}

/* Gateways come and go over the years; those of now are kept. */
static void places(void **state)
{
    (void)state;
    struct ring *r = open_ring();
    char name[20];
    const char *names[RING_SERIES];
    for (int i = 0; i < RING_SERIES + 4; i++) {
        snprintf(name, sizeof(name), "old:%d", i);
        add(r, T0, name, i);
    }
    assert_int_equal(ring_names(r, "old:", names, RING_SERIES), RING_SERIES);
    assert_int_equal(ring_read(r, "old:99", RING_TIER_DAY, T0, out), 0);
    int64_t later = T0 + 40 * 86400;
    add(r, later, "old:1", 7);
    add(r, later, "new:1", 8);
    assert_true(last(r, "new:1", RING_TIER_DAY, later, 0) == 8);
    assert_true(last(r, "old:1", RING_TIER_DAY, later, 0) == 7);
    assert_true(isnan(last(r, "new:1", RING_TIER_DAY, later, 1)));
    assert_int_equal(ring_names(r, "old:", names, RING_SERIES), RING_SERIES - 1);
    ring_close(&r);
}

static void clock_back(void **state)
{
    (void)state;
    struct ring *r = open_ring();
    add(r, T0 + 600, "queue", 1);
    add(r, T0, "queue", 2); /* a little: left out */
    assert_true(isnan(last(r, "queue", RING_TIER_DAY, T0, 0)));
    add(r, T0 - 30 * 86400, "queue", 3); /* it was far ahead: anew */
    assert_true(last(r, "queue", RING_TIER_DAY, T0 - 30 * 86400, 0) == 3);
    ring_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(minutes, fresh),
        cmocka_unit_test_setup(a_day_later, fresh),
        cmocka_unit_test_setup(size_is_fixed, fresh),
        cmocka_unit_test_setup(damaged, fresh),
        cmocka_unit_test_setup(places, fresh),
        cmocka_unit_test_setup(clock_back, fresh),
    };
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return rc;
}
