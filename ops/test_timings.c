#include "timings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/conf.h"
#include "common/file.h"
#include "common/mem.h"
#include "people.h"

static void test_percentiles(void **state)
{
    struct op_timings t = {.count = 0};

    (void)state;
    for (int64_t i = 10; i > 0; i--) {
        op_timings_add(&t, i * 1000);
    }
    op_timings_sort(&t);
    assert_true(op_timings_at(&t, 0) == 1.0);
    assert_true(op_timings_at(&t, 50) == 6.0); /* the element at index N/2 */
    assert_true(op_timings_at(&t, 90) == 10.0);
    assert_true(op_timings_at(&t, 100) == 10.0);
    for (size_t i = 0; i < OP_TIMINGS_MAX; i++) {
        op_timings_add(&t, 5);
    }
    assert_int_equal(t.count, OP_TIMINGS_MAX);
}

static void test_baseline(void **state)
{
    char path[] = "/tmp/chatops-baseline-XXXXXX";
    int fd = mkstemp(path);
    struct cm_err err;

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    static const char text[] =
        "{\"timings\":{\"x\":{\"median\":2.0}},\"memory\":{\"m\":100}}";
    assert_int_equal(cm_file_replace(path, text, strlen(text), 0600, &err), 0);
    json_t *base = op_baseline_read(path, &err);
    assert_non_null(base);
    assert_true(op_timings_ratio(base, "timings", "x", "median", 3.0) == 1.5);
    assert_true(op_timings_ratio(base, "timings", "y", "median", 3.0) == 0);
    assert_true(op_timings_ratio(base, "memory", "m", NULL, 50) == 0.5);
    assert_true(op_timings_ratio(NULL, "memory", "m", NULL, 50) == 0);
    json_decref(base);
    assert_int_equal(cm_file_replace(path, "[]", 2, 0600, &err), 0);
    assert_null(op_baseline_read(path, &err));
    unlink(path);
    assert_null(op_baseline_read(path, &err));
    assert_int_equal(err.kind, CM_ERR_REFUSE);
}

static void test_people(void **state)
{
    struct op_cluster c = {.node_count = 0};
    struct op_people p = {.c = &c, .invite = "k7mp3xwq9hta"};
    struct op_person one, far;
    struct cm_err err;
    static const char ini[] = "[params]\nmail_domain = chat.example.org\n"
                              "username_max_length = 12\nusername_min_length = 3\n"
                              "[gateway a]\nnumber = 1\naddresses = 203.0.113.1 "
                              "2001:db8::1\nssh = root@a\n"
                              "[gateway b]\nnumber = 2\naddresses = 203.0.113.2\n"
                              "ssh = root@b\nmode = drain\n";
    struct op_cli cli = {.config = "x"};
    struct op_entrance at[OP_ENTRANCES_MAX];
    size_t n;

    (void)state;
    if (cm_conf_parse("x", ini, strlen(ini), &c.conf, &err) != 0) {
        fail_msg("%s", err.text);
    }
    op_people_new(&p, "chat.example.org", &one);
    assert_int_equal(strcspn(one.addr, "@"), 12);
    assert_int_equal(strncmp(one.password, "k7mp3xwq9hta.", 13), 0);
    op_people_new(&p, "elsewhere.example", &far);
    assert_int_equal(strcspn(far.addr, "@"), 9);
    assert_null(strchr(far.password, '.'));
    char *sql = op_people_forget_sql(&p), *own = cm_asprintf("('%s')", one.addr);
    assert_non_null(strstr(sql, own));
    assert_null(strstr(sql, far.addr));
    c.cli = &cli;
    assert_int_equal(op_entrances(&c, at, &n, &err), 0);
    assert_int_equal(n, 2);
    assert_string_equal(at[1].address, "2001:db8::1");
    cli.gateway = "b";
    assert_int_equal(op_entrances(&c, at, &n, &err), 0);
    assert_int_equal(n, 1);
    cli.gateway = "z";
    assert_int_equal(op_entrances(&c, at, &n, &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    free(sql);
    free(own);
    free(p.addrs);
    cm_conf_clear(&c.conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percentiles),
        cmocka_unit_test(test_baseline),
        cmocka_unit_test(test_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
