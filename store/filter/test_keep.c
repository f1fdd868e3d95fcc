/* What a process keeps: samples, send rates without Redis, counts. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"

#include "blind.h"
#include "rate.h"
#include "sample.h"
#include "tally.h"

static char dir[] = "/tmp/test_filter_keep.XXXXXX";

/* How many there are; one_r (may be NULL): one of them. */
static unsigned files(char *one_r, size_t size)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strstr(e->d_name, ".eml") != NULL) {
            n++;
            if (one_r != NULL) {
                snprintf(one_r, size, "%s/%s", dir, e->d_name);
            }
        }
    }
    closedir(d);
    return n;
}

static void keep_one(struct samples *samples, size_t bytes)
{
    struct sample *sample = sample_begin(samples);
    char *body = cm_calloc(1, bytes + 1);
    assert_non_null(sample);
    memset(body, 'x', bytes);
    sample_header(sample, "Subject", " hello");
    sample_add(sample, body, bytes);
    assert_true(sample_keep(&sample, "unencrypted"));
    assert_null(sample);
    free(body);
}

static void samples_have_limits(void **state)
{
    (void)state;
    struct samples *samples;
    struct cm_err err;
    struct stat st;
    char one[300], other[300];
    assert_non_null(mkdtemp(dir));
    assert_int_equal(samples_open(dir, &samples, &err), 0);
    struct sample *dropped = sample_begin(samples);
    sample_add(dropped, "secret", 6);
    sample_drop(&dropped);
    assert_int_equal(files(NULL, 0), 0);
    keep_one(samples, SAMPLE_BYTES + 1000);
    assert_int_equal(files(one, sizeof(one)), 1);
    assert_int_equal(stat(one, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_in_range(st.st_size, SAMPLE_BYTES - 1000, SAMPLE_BYTES);
    snprintf(other, sizeof(other), "%s/someone-else.eml", dir);
    fclose(fopen(other, "w"));
    for (int i = 0; i < SAMPLES_MAX + 5; i++) {
        cm_clock_shift(i + 1); /* so that the first one is the oldest */
        keep_one(samples, 10);
    }
    assert_int_equal(files(NULL, 0), SAMPLES_MAX + 1); /* and what is not ours */
    assert_int_equal(access(one, F_OK), -1);
    cm_clock_shift(SAMPLE_AGE_MS + 60000);
    samples_sweep(samples);
    assert_int_equal(files(one, sizeof(one)), 1);
    assert_string_equal(one, other);
    cm_clock_shift(0);
    samples_close(&samples);
    unlink(other);
    rmdir(dir);
}

static void nothing_is_kept_unless_asked_for(void **state)
{
    (void)state;
    struct samples *samples;
    struct cm_err err;
    assert_int_equal(samples_open("", &samples, &err), 0);
    struct sample *sample = sample_begin(samples);
    assert_null(sample);
    sample_header(sample, "Subject", " hello");
    sample_add(sample, "x", 1);
    assert_false(sample_keep(&sample, "x"));
    samples_sweep(samples);
    samples_close(&samples);
    assert_int_equal(samples_open("/nonexistent/dir", &samples, &err), -1);
    assert_int_equal(err.kind, CM_ERR_WORLD);
}

/* More keys than there is room for: who is busy stays limited. */
static void the_rate_table_forgets_who_has_rested(void **state)
{
    (void)state;
    struct rate_table *table = cm_calloc(1, sizeof(*table));
    struct gcra gcra = gcra_of(1, 3);
    int64_t now = 1000000000;
    for (int i = 0; i < 3; i++) {
        assert_true(rate_table_take(table, &gcra, RATE_ROWS + 7, now));
    }
    assert_false(rate_table_take(table, &gcra, RATE_ROWS + 7, now));
    for (uint64_t i = 2; i < 100; i++) { /* the same row */
        assert_true(rate_table_take(table, &gcra, i * RATE_ROWS + 7, now));
    }
    assert_false(rate_table_take(table, &gcra, RATE_ROWS + 7, now));
    assert_true(rate_table_take(table, &gcra, 5, now));
    free(table);
}

static void counts_are_told(void **state)
{
    (void)state;
    static struct tally tally;
    struct decision d = {.action = DECIDE_ACCEPT, .why = WHY_ENCRYPTED};
    struct cm_buf out;
    tally_count(&tally, &d);
    tally_count(&tally, &d);
    decide_refuse(&d, WHY_UNENCRYPTED, "523", "x");
    tally_count(&tally, &d);
    decide_refuse(&d, WHY_RATE, "450", "x");
    tally_count(&tally, &d);
    cm_buf_init(&out, 65536);
    tally_write(&tally, "outgoing", &out);
    static const char *const wanted[] = {
        "chatmail_filter_messages_total{mode=\"outgoing\",result=\"accepted\","
        "reason=\"encrypted\"} 2\n",
        "{mode=\"outgoing\",result=\"refused\",reason=\"unencrypted\"} 1\n",
        "{mode=\"outgoing\",result=\"put_off\",reason=\"rate\"} 1\n",
        "chatmail_filter_transactions{mode=\"outgoing\"} 0\n"};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (strstr(out.data, wanted[i]) == NULL) {
            fail_msg("%s\nis not in\n%s", wanted[i], out.data);
        }
    }
    cm_buf_clear(&out);
}

/* The man page says how an operator computes it. */
static void an_address_is_blinded_as_told(void **state)
{
    (void)state;
    char out[BLIND_SIZE];
    blind("someone@example.org", out);
    FILE *f = popen("printf %s someone@example.org | sha256sum | cut -c 1-16", "r");
    char line[64] = "";
    assert_non_null(fgets(line, sizeof(line), f));
    pclose(f);
    line[strcspn(line, "\n")] = '\0';
    assert_string_equal(out, line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_have_limits),
        cmocka_unit_test(nothing_is_kept_unless_asked_for),
        cmocka_unit_test(the_rate_table_forgets_who_has_rested),
        cmocka_unit_test(counts_are_told),
        cmocka_unit_test(an_address_is_blinded_as_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
