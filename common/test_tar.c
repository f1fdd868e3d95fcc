#include "common/tar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"

static void add(struct cm_buf *b, const char *path, const char *text)
{
    struct cm_tar_entry e = {.type = CM_TAR_FILE,
                             .mode = 0640,
                             .mtime_s = 1700000000,
                             .size = (int64_t)strlen(text)};
    struct cm_err err;

    snprintf(e.path, sizeof(e.path), "%s", path);
    snprintf(e.user, sizeof(e.user), "root");
    snprintf(e.group, sizeof(e.group), "mail");
    assert_int_equal(cm_tar_put(b, &e, &err), 0);
    cm_buf_str(b, text);
    for (size_t n = cm_tar_padding(e.size); n > 0; n--) {
        cm_buf_add(b, "", 1);
    }
}

static void end(struct cm_buf *b)
{
    static const char zeros[CM_TAR_END_SIZE];

    cm_buf_add(b, zeros, sizeof(zeros));
}

/* Every event as text: "path{data}". step: bytes pushed at a time. */
static char *read_all(const struct cm_buf *b, size_t step)
{
    struct cm_buf out;
    struct cm_tar tar;
    struct cm_err err;
    enum cm_tar_event event = CM_TAR_MORE;

    cm_buf_init(&out, 1 << 20);
    cm_tar_init(&tar);
    for (size_t at = 0; at < b->len && event != CM_TAR_END; at += step) {
        size_t n = b->len - at < step ? b->len - at : step, len = 0;
        const char *p = b->data + at, *piece = NULL;
        do {
            if (cm_tar_next(&tar, &p, &n, &event, &piece, &len, &err) != 0) {
                cm_buf_fmt(&out, "!%s", err.text);
                return cm_buf_steal(&out);
            }
            if (event == CM_TAR_ENTRY) {
                cm_buf_fmt(&out, "%c%s%s{", tar.entry.type, tar.entry.path,
                           tar.entry.link);
            } else if (event == CM_TAR_DATA) {
                cm_buf_add(&out, piece, len);
            } else if (event == CM_TAR_DONE) {
                cm_buf_str(&out, "}");
            }
        } while (event != CM_TAR_MORE && event != CM_TAR_END);
    }
    cm_buf_str(&out, event == CM_TAR_END ? "." : "?");
    return cm_buf_steal(&out);
}

static void says(const struct cm_buf *b, size_t step, const char *want)
{
    char *said = read_all(b, step);

    assert_string_equal(said, want);
    free(said);
}

static char *long_path(size_t dirs, size_t name)
{
    struct cm_buf b;

    cm_buf_init(&b, CM_TAR_PATH);
    for (size_t i = 0; i < dirs; i++) {
        cm_buf_str(&b, "directory/");
    }
    for (size_t i = 0; i < name; i++) {
        cm_buf_str(&b, "n");
    }
    return cm_buf_steal(&b);
}

static void test_round(void **state)
{
    struct cm_buf b;
    char *prefixed = long_path(12, 90), *named = long_path(2, 130);
    struct cm_tar_entry link = {
        .type = CM_TAR_LINK, .path = "live", .link = "certs/1", .mode = 0777};
    struct cm_err err;

    (void)state;
    cm_buf_init(&b, 1 << 20);
    add(&b, "a/b", "text");
    add(&b, "empty", "");
    add(&b, prefixed, "prefixed");
    add(&b, named, "named");
    assert_int_equal(cm_tar_put(&b, &link, &err), 0);
    end(&b);
    char *want = cm_asprintf("0a/b{text}0empty{}0%s{prefixed}0%s{named}2livecerts/1{}.",
                             prefixed, named);
    says(&b, b.len, want);
    says(&b, 1, want);
    says(&b, 511, want);
    free(want);
    free(prefixed);
    free(named);
    cm_buf_clear(&b);
}

/* Cut anywhere, it never comes to its end. */
static void test_cut(void **state)
{
    struct cm_buf b;

    (void)state;
    cm_buf_init(&b, 1 << 20);
    add(&b, "a", "text");
    end(&b);
    for (size_t whole = b.len, n = 0; n < whole; n++) {
        b.len = n;
        char *said = read_all(&b, 100);
        assert_null(strchr(said, '.'));
        free(said);
    }
    cm_buf_clear(&b);
}

static void test_damaged(void **state)
{
    struct cm_buf b;

    (void)state;
    cm_buf_init(&b, 1 << 20);
    add(&b, "a", "text");
    end(&b);
    b.data[3] ^= 1;
    says(&b, 64, "!it is damaged, or no tar archive");
    cm_buf_reset(&b);
    cm_buf_str(&b, "PGDMP");
    for (int i = 0; i < 600; i++) {
        cm_buf_str(&b, "x");
    }
    says(&b, 64, "!it is damaged, or no tar archive");
    cm_buf_clear(&b);
}

static void test_paths(void **state)
{
    static const char *const bad[] = {"",       "/etc",  "a//b", "../a",
                                      "a/../b", "a/..",  "./a",  "a/.",
                                      "a\nb",   "a\x7f", "a/",   "\x01b"};
    struct cm_tar_entry e = {.type = CM_TAR_FILE};
    struct cm_buf b;
    struct cm_err err;

    (void)state;
    cm_buf_init(&b, 1 << 20);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(e.path, sizeof(e.path), "%s", bad[i]);
        assert_int_equal(cm_tar_put(&b, &e, &err), -1);
    }
    assert_int_equal(b.len, 0);
    assert_true(cm_tar_path_ok("mail/a@b/cur/1.M2P3.h,S=4:2,S"));
    assert_true(cm_tar_path_ok("..a/b.."));
    cm_buf_clear(&b);
}

/* Debian's tar reads ours; what it writes is in the corpus of fuzz_tar. */
static void test_gnu(void **state)
{
    char dir[] = "/tmp/cm-tar-XXXXXX", *said;
    char *named = long_path(2, 130);
    struct cm_buf b;
    struct cm_err err;

    (void)state;
    assert_non_null(mkdtemp(dir));
    char *path = cm_asprintf("%s/a.tar", dir);
    cm_buf_init(&b, 1 << 20);
    add(&b, "a/b", "text");
    add(&b, named, "named");
    end(&b);
    assert_int_equal(cm_file_replace(path, b.data, b.len, 0600, &err), 0);
    const char *list[] = {"tar", "tvf", path, NULL};
    struct cm_run run = {.argv = list};
    assert_int_equal(cm_run_ok(&run, &said, &err), 0);
    assert_non_null(strstr(said, "-rw-r----- root/mail"));
    assert_non_null(strstr(said, named));
    free(said);
    cm_buf_clear(&b);
    unlink(path);
    rmdir(dir);
    free(path);
    free(named);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),   cmocka_unit_test(test_cut),
        cmocka_unit_test(test_damaged), cmocka_unit_test(test_paths),
        cmocka_unit_test(test_gnu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
