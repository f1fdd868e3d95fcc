#include "hasher.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <crypt.h>

#include "common/clock.h"

struct asked {
    char password[64];
    char hash[128];
    enum cm_err_kind kind;
    unsigned calls;
};

static struct cm_loop *loop;

static void on_hash(const char *hash, const struct cm_err *err, void *ctx)
{
    struct asked *a = ctx;
    a->calls++;
    a->kind = err->kind;
    snprintf(a->hash, sizeof(a->hash), "%s", hash != NULL ? hash : "");
}

static int ask(struct hasher *h, struct asked *a, const char *password,
               struct cm_err *err)
{
    *a = (struct asked){.calls = 0};
    snprintf(a->password, sizeof(a->password), "%s", password);
    return hasher_submit(h, password, on_hash, a, err);
}

static bool fits(const struct asked *a)
{
    struct crypt_data data = {.initialized = 0};
    const char *stored = a->hash + strlen("{SHA512-CRYPT}");
    return a->calls == 1 && a->kind == CM_ERR_NONE &&
           strncmp(a->hash, "{SHA512-CRYPT}$6$", 17) == 0 &&
           strcmp(crypt_r(a->password, stored, &data), stored) == 0;
}

static void wait_for(const struct asked *a)
{
    int64_t until = cm_now_mono_ms() + 10000;
    while (a->calls == 0 && cm_now_mono_ms() < until) {
        cm_loop_once(loop, 50);
    }
    assert_int_equal(a->calls, 1);
}

static pid_t child_pid(void)
{
    char path[64], text[64] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof(text), f));
    fclose(f);
    return (pid_t)strtol(text, NULL, 10);
}

static void test_all_are_hashed(void **state)
{
    (void)state;
    static struct asked asked[HASHER_MAX], more;
    struct hasher *h = hasher_new(loop);
    struct cm_err err;
    for (int i = 0; i < HASHER_MAX; i++) {
        char password[32];
        snprintf(password, sizeof(password), "password %d", i);
        assert_int_equal(ask(h, &asked[i], password, &err), 0);
        assert_int_equal(asked[i].calls, 0);
    }
    assert_int_equal(ask(h, &more, "one too many", &err), -1);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    for (int i = 0; i < HASHER_MAX; i++) {
        wait_for(&asked[i]);
    }
    assert_int_equal(more.calls, 0);
    assert_true(fits(&asked[0]));
    assert_true(fits(&asked[1]));
    assert_true(fits(&asked[HASHER_MAX - 1]));
    assert_int_equal(ask(h, &more, "now there is room", &err), 0);
    wait_for(&more);
    assert_true(fits(&more));
    hasher_free(&h);
}

static void test_limits_of_a_password(void **state)
{
    (void)state;
    static struct asked a;
    struct hasher *h = hasher_new(loop);
    struct cm_err err;
    char longest[HASHER_PASSWORD_MAX + 2];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(ask(h, &a, longest, &err), -1);
    longest[HASHER_PASSWORD_MAX] = '\0';
    assert_int_equal(ask(h, &a, longest, &err), 0);
    wait_for(&a);
    assert_int_equal(a.kind, CM_ERR_WORLD); /* crypt(3) takes no more than 511 */
    assert_int_equal(ask(h, &a, "", &err), 0);
    wait_for(&a);
    assert_true(fits(&a));
    hasher_free(&h);
}

static void test_child_dies(void **state)
{
    (void)state;
    static struct asked asked[50];
    struct hasher *h = hasher_new(loop);
    struct cm_err err;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(ask(h, &asked[i], "secret", &err), 0);
    }
    kill(child_pid(), SIGKILL);
    for (int i = 0; i < 50; i++) {
        wait_for(&asked[i]);
        assert_true(fits(&asked[i]) || asked[i].kind == CM_ERR_RETRY);
    }
    assert_int_equal(asked[49].kind, CM_ERR_RETRY);
    assert_int_equal(ask(h, &asked[0], "secret", &err), -1); /* not at once */
    assert_int_equal(err.kind, CM_ERR_RETRY);
    usleep((HASHER_AGAIN_MS + 50) * 1000);
    assert_int_equal(ask(h, &asked[0], "secret", &err), 0);
    wait_for(&asked[0]);
    assert_true(fits(&asked[0]));
    hasher_free(&h);
}

static void test_freed_with_work(void **state)
{
    (void)state;
    static struct asked asked[50];
    struct hasher *h = hasher_new(loop);
    struct cm_err err;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(ask(h, &asked[i], "secret", &err), 0);
    }
    pid_t pid = child_pid();
    hasher_free(&h);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(asked[i].calls, 1);
        assert_int_equal(asked[i].kind, CM_ERR_RETRY);
    }
    assert_int_equal(kill(pid, 0), -1); /* and no zombie */
}

/* Field 6 is the session, field 19 the nice value. */
static void test_child_is_humble(void **state)
{
    (void)state;
    static struct asked a;
    struct hasher *h = hasher_new(loop);
    struct cm_err err;
    char path[64], text[512] = "", *at;
    assert_int_equal(ask(h, &a, "secret", &err), 0);
    wait_for(&a); /* by now it has set itself up */
    pid_t pid = child_pid();
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof(text), f));
    fclose(f);
    at = strrchr(text, ')');
    for (int field = 2; field < 6; field++) {
        at = strchr(at + 1, ' ');
    }
    assert_int_equal(strtol(at, NULL, 10), pid);
    for (int field = 6; field < 19; field++) {
        at = strchr(at + 1, ' ');
    }
    assert_int_equal(strtol(at, NULL, 10), HASHER_NICE);
    hasher_free(&h);
}

static int group_setup(void **state)
{
    (void)state;
    loop = cm_loop_new();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    cm_loop_free(&loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_are_hashed),
        cmocka_unit_test(test_limits_of_a_password),
        cmocka_unit_test(test_child_dies),
        cmocka_unit_test(test_freed_with_work),
        cmocka_unit_test(test_child_is_humble),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
