/* relay-spec.md 6.5, 19. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "versions.h"

static char path[64];
static struct versions *versions;

static void put(const char *text)
{
    struct cm_err err;
    assert_int_equal(cm_file_replace(path, text, strlen(text), 0644, &err), 0);
}

static void test_all(void **state)
{
    (void)state;
    const char *line = NULL;
    struct cm_err err;
    assert_int_equal(versions_line(versions, &line, &err), 0);
    put("{ \"clients\" : [\n  {\"b\": 1, \"a\": \"x\\ny\\u00e4\"}\n] }\n");
    for (int i = 0; i < 2; i++) { /* read, then remembered */
        assert_int_equal(versions_line(versions, &line, &err), 1);
        assert_string_equal(line, "{\"clients\":[{\"b\":1,\"a\":\"x\\ny\\u00E4\"}]}");
    }
    put("{\"clients\": [2]}"); /* another file in its place */
    assert_int_equal(versions_line(versions, &line, &err), 1);
    assert_string_equal(line, "{\"clients\":[2]}");
    static const char *const bad[] = {"", "{", "[1]", "17", "{\"a\":}", "{} x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        put(bad[i]);
        assert_int_equal(versions_line(versions, &line, &err), -1);
        assert_int_equal(err.kind, CM_ERR_WORLD);
    }
    char *big = malloc(VERSIONS_MAX + 32);
    memset(big, 'x', VERSIONS_MAX + 32);
    memcpy(big, "{\"a\":\"", 6);
    snprintf(big + VERSIONS_MAX, 32, "\"}");
    put(big);
    free(big);
    assert_int_equal(versions_line(versions, &line, &err), -1);
    put("{}");
    assert_int_equal(versions_line(versions, &line, &err), 1);
    unlink(path);
    assert_int_equal(versions_line(versions, &line, &err), 0);
}

int main(void)
{
    char dir[] = "/tmp/test-versions-XXXXXX";
    if (mkdtemp(dir) == NULL) {
        return 1;
    }
    snprintf(path, sizeof(path), "%s/app-versions.json", dir);
    versions = versions_new(path);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    versions_free(&versions);
    unlink(path);
    rmdir(dir);
    return rc;
}
