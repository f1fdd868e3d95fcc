/* A backup's file: written, read back, and every way in which one can be wrong. */
#include "archive.h"

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

#include "common/file.h"
#include "common/mem.h"
#include "restore.h"

static char dir[] = "/tmp/chatops-archive-XXXXXX";
static char *path;

static const struct op_archive_about about = {.domain = "chat.example.org",
                                              .made_s = 1795784192,
                                              .version = "0.1.0",
                                              .mail = true};

/* As the store sends it. */
static void add(struct cm_buf *b, enum cm_tar_type type, const char *name,
                const char *text)
{
    struct cm_tar_entry e = {.type = type, .mode = 0640, .size = (int64_t)strlen(text)};
    struct cm_err err;

    snprintf(e.path, sizeof(e.path), "%s", name);
    assert_int_equal(cm_tar_put(b, &e, &err), 0);
    cm_buf_str(b, text);
    for (size_t n = cm_tar_padding(e.size); n > 0; n--) {
        cm_buf_add(b, "", 1);
    }
}

static void store_sends(struct cm_buf *b)
{
    static const char zeros[CM_TAR_END_SIZE];

    cm_buf_init(b, 1 << 20);
    add(b, CM_TAR_FILE, "roles", "chatmail_auth\n");
    add(b, CM_TAR_FILE, "database.dump", "PGDMP");
    add(b, CM_TAR_DIR, "store/etc/chatmail", "");
    add(b, CM_TAR_FILE, "store/etc/chatmail/wg.key", "secret\n");
    add(b, CM_TAR_DIR, "mail/a@chat.example.org", "");
    add(b, CM_TAR_FILE, "mail/a@chat.example.org/cur/1:2,S", "message\n");
    add(b, CM_TAR_DIR, "mail/b@chat.example.org", "");
    cm_buf_add(b, zeros, sizeof(zeros));
}

/* Pieces of `step` bytes, `n` bytes in all. */
static bool named; /* as on a file system that knows no other */

static int write_backup(size_t step, size_t n, struct op_archive *a, struct cm_err *err)
{
    struct op_archive_out o;
    struct cm_buf b;

    store_sends(&b);
    assert_int_equal(named ? op_archive_begin_named(&o, path, &about, err)
                           : op_archive_begin(&o, path, &about, err),
                     0);
    assert_int_equal(op_archive_add(&o, OP_ARCHIVE_INI, "[params]\n", 9, err), 0);
    n = n < b.len ? n : b.len;
    for (size_t at = 0; at < n; at += step) {
        op_archive_feed(&o, b.data + at, n - at < step ? n - at : step);
    }
    int rc = op_archive_keep(&o, a, err);
    op_archive_drop(&o);
    cm_buf_clear(&b);
    return rc;
}

static void is_refused(const char *why)
{
    struct op_archive a;
    struct cm_err err;

    assert_int_equal(op_archive_open(path, &a, &err), -1);
    if (strstr(err.text, why) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    }
    assert_null(a.map);
}

static char *slurp(size_t *len)
{
    char *data;
    struct cm_err err;

    assert_int_equal(cm_file_read(path, 1 << 20, &data, len, &err), 1);
    return data;
}

static void spill(const char *data, size_t len)
{
    struct cm_err err;

    assert_int_equal(cm_file_replace(path, data, len, 0600, &err), 0);
}

static bool starts(const struct op_archive_part *part, const char *name)
{
    return part->len >= CM_TAR_BLOCK && strcmp(part->data, name) == 0;
}

static void test_round(void **state)
{
    struct op_archive a;
    struct cm_err err;
    struct stat st;

    (void)state;
    for (size_t step = 1; step < 3000; step += 1021) {
        assert_int_equal(write_backup(step, SIZE_MAX, &a, &err), 0);
        op_archive_close(&a);
    }
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(op_archive_open(path, &a, &err), 0);
    assert_string_equal(a.about.domain, "chat.example.org");
    assert_int_equal(a.about.made_s, 1795784192);
    assert_true(a.about.mail);
    assert_int_equal(a.files, 6);
    assert_int_equal(a.mailboxes, 2);
    assert_int_equal(strlen(a.id), 32);
    assert_memory_equal(a.ini.data, "[params]\n", a.ini.len);
    assert_true(starts(&a.database, "roles"));
    assert_true(starts(&a.store, "store/etc/chatmail"));
    assert_true(starts(&a.mail, "mail/a@chat.example.org"));
    assert_ptr_equal(a.store.data + a.store.len, a.mail.data);
    op_archive_close(&a);
}

/* What a store sent that died does not replace the backup of yesterday. */
static void test_half(void **state)
{
    struct op_archive a;
    struct cm_err err;
    size_t len, again;

    (void)state;
    assert_int_equal(write_backup(512, SIZE_MAX, &a, &err), 0);
    op_archive_close(&a);
    char *before = slurp(&len);
    assert_int_equal(write_backup(512, 2000, &a, &err), -1);
    assert_non_null(strstr(err.text, "not whole"));
    char *after = slurp(&again);
    assert_int_equal(len, again);
    assert_memory_equal(before, after, len);
    free(after);
    free(before);
    char *beside = cm_asprintf("%s.new", path);
    assert_int_equal(access(beside, F_OK), -1);
    free(beside);
}

static void test_named(void **state)
{
    named = true;
    test_round(state);
    test_half(state);
    named = false;
}

/* Cut at any block and in between; any byte of a file changed. */
static void test_damaged(void **state)
{
    struct op_archive a;
    struct cm_err err;
    size_t len;

    (void)state;
    assert_int_equal(write_backup(512, SIZE_MAX, &a, &err), 0);
    const char *key = a.store.data + 2 * CM_TAR_BLOCK;
    size_t at_key = (size_t)(key - a.map), at_mail = (size_t)(a.mail.data - a.map);
    op_archive_close(&a);
    char *whole = slurp(&len);
    for (size_t n = 1; n < len; n += 211) {
        spill(whole, n);
        is_refused(n < CM_TAR_BLOCK ? "cannot be used" : "cut off");
    }
    whole[at_key] ^= 1;
    spill(whole, len);
    is_refused("damaged: its files are not those of its list");
    whole[at_key] ^= 1;
    whole[at_mail + 3] ^= 1;
    spill(whole, len);
    is_refused("damaged, or no tar archive");
    whole[at_mail + 3] ^= 1;
    spill(whole, len);
    assert_int_equal(op_archive_open(path, &a, &err), 0);
    op_archive_close(&a);
    free(whole);
}

static void test_foreign(void **state)
{
    static const char zeros[CM_TAR_END_SIZE];
    struct cm_buf b;

    (void)state;
    unlink(path);
    is_refused("No such file");
    spill("", 0);
    is_refused("empty");
    store_sends(&b);
    spill(b.data, b.len);
    is_refused("no backup of chatops");
    cm_buf_reset(&b);
    add(&b, CM_TAR_FILE, "BACKUP",
        "{\"format\":2,\"domain\":\"chat.example.org\",\"version\":\"9.0\"}");
    cm_buf_add(&b, zeros, sizeof(zeros));
    spill(b.data, b.len);
    is_refused("newer chatops (9.0)");
    cm_buf_reset(&b);
    add(&b, CM_TAR_FILE, "BACKUP",
        "{\"format\":1,\"domain\":\"chat.example.org\",\"version\":\"0.1.0\"}");
    cm_buf_add(&b, zeros, sizeof(zeros));
    spill(b.data, b.len);
    is_refused("no list");
    cm_buf_clear(&b);
}

/* ---- which store may be overwritten ---- */

#define ID    "00112233445566778899aabbccddeeff"
#define OTHER "ff112233445566778899aabbccddeeff"

static void judged(const char *said, bool overwrite, const char *want)
{
    struct op_defects d = {.count = 0};

    op_restore_judge(said, ID, overwrite, &d);
    if (want == NULL) {
        assert_int_equal(d.count, 0);
    } else {
        assert_int_equal(d.count, 1);
        assert_non_null(strstr(d.items[0].what, want));
        assert_non_null(strstr(d.items[0].todo, "--overwrite"));
    }
    op_defects_clear(&d);
}

static void test_target(void **state)
{
    (void)state;
    judged("\n0", false, NULL);
    judged("\n3", false, "has 3 accounts already");
    judged("\n1", false, "has 1 account already");
    judged("\n3", true, NULL);
    judged("\nunknown", false, "cannot be asked");
    judged("", false, "cannot be asked");
    judged(ID " store\nunknown", false, NULL);
    judged(ID " store database\n3", false, NULL);
    judged(ID " store database mail done\n3", false, "has this backup already");
    judged(ID " store database mail done\n0", false, NULL);
    judged(OTHER " store\n3", false, "has 3 accounts already");
    judged(OTHER " store database mail done\n3", true, NULL);
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    path = cm_asprintf("%s/b.tar", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    free(path);
    return rmdir(dir); /* fails when something was left beside it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),   cmocka_unit_test(test_half),
        cmocka_unit_test(test_named),   cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_foreign), cmocka_unit_test(test_target),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
