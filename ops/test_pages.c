#include <libgen.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"
#include "pages.h"
#include "qr.h"

static char dir[] = "/tmp/test-pages-XXXXXX";

static struct cm_conf parse(const char *more)
{
    struct cm_conf conf;
    struct cm_err err;
    char *text = cm_asprintf("[params]\nmail_domain = chat.example.org\n%s", more);

    if (cm_conf_parse("chatmail.ini", text, strlen(text), &conf, &err) != 0)
        fail_msg("%s", err.text);
    free(text);
    return conf;
}

static void put(const char *name, const char *text)
{
    struct cm_err err;
    char *path = cm_asprintf("%s/%s", dir, name), *copy = cm_strdup(path);

    assert_int_equal(cm_file_mkdirs(dirname(copy), 0755, &err), 0);
    free(copy);
    assert_int_equal(cm_file_replace(path, text, strlen(text), 0644, &err), 0);
    free(path);
}

static const struct op_file *find(const struct op_files *files, const char *name)
{
    for (size_t i = 0; i < files->count; i++) {
        if (strcmp(files->items[i].path + strlen(OP_PAGES_ROOT "/"), name) == 0)
            return &files->items[i];
    }
    return NULL;
}

static const char *page(const struct op_files *files, const char *name)
{
    const struct op_file *file = find(files, name);

    if (file == NULL)
        fail_msg("no %s", name);
    assert_string_equal(file->owner, "root:root");
    assert_int_equal(file->len, strlen(file->content));
    return file->content;
}

static struct op_files build(const char *more)
{
    struct cm_conf conf = parse(more);
    struct op_files files = {0};
    struct cm_err err;

    if (op_pages_build(&conf, dir, false, &files, &err) != 1)
        fail_msg("no pages: %s", err.text);
    cm_conf_clear(&conf);
    return files;
}

static void test_own(void **state)
{
    (void)state;
    struct op_files files = build("privacy_mail = a@example.org\n"
                                  "privacy_postal = Ada <x>\n  Main Street 1\n");
    const char *index = page(&files, "index.html");

    assert_non_null(strstr(index, "href=\"dcaccount:https://chat.example.org/new\""));
    assert_non_null(strstr(index, "<title>chat.example.org: home</title>"));
    assert_null(strstr(index, "{{"));
    assert_null(strstr(index, "refresh"));
    assert_null(strstr(index, "invitation"));
    assert_non_null(
        strstr(page(&files, "info.html"), "<td>60 a minute, 10 at once</td>"));
    const char *privacy = page(&files, "privacy.html");
    assert_non_null(strstr(privacy, "Ada &lt;x&gt;<br>\nMain Street 1"));
    assert_non_null(strstr(privacy, "mailto:a@example.org"));
    assert_null(strstr(privacy, "Supervisory"));
    assert_null(strstr(index, "<script"));
    assert_non_null(strstr(page(&files, "robots.txt"), "Disallow: /"));
    assert_non_null(
        strstr(page(&files, "qr-chatmail-invite-chat.example.org.svg"), "<svg"));
    op_files_clear(&files);
}

static void test_registrations(void **state)
{
    (void)state;
    struct op_files files = build("[store]\nregistrations = closed\n");
    assert_null(strstr(page(&files, "index.html"), "dcaccount:"));
    assert_non_null(strstr(page(&files, "index.html"), "no new profiles"));
    op_files_clear(&files);
    files = build("[store]\nregistrations = invite\n");
    assert_null(strstr(page(&files, "index.html"), "dcaccount:"));
    assert_non_null(strstr(page(&files, "index.html"), "needs an invitation"));
    op_files_clear(&files);
}

static void test_custom_folder(void **state)
{
    (void)state;
    char *ini = cm_asprintf("www_folder = %s/own\n", dir);
    struct cm_conf conf = parse(ini);
    struct op_files files = {0};
    struct cm_err err;

    assert_int_equal(op_pages_build(&conf, dir, false, &files, &err), 0); /* none yet */
    put("own/readme.txt", "as it is {{x}}");
    assert_int_equal(op_pages_build(&conf, dir, false, &files, &err), 1);
    assert_int_equal(files.count, 1);
    assert_string_equal(page(&files, "readme.txt"), "as it is {{x}}");
    op_files_clear(&files);

    put("own/src/index.md", "# {{ config.mail_domain }}\n");
    assert_int_equal(op_pages_build(&conf, dir, false, &files, &err), -1);
    assert_non_null(strstr(err.text, "page-layout.html"));
    put("own/page-layout.html", "<{{pagename}}>{{content}}{{#refresh}}R{{/refresh}}");
    put("own/src/sub/pic.txt", "p");
    put("own/src/.hidden", "no");
    assert_int_equal(op_pages_build(&conf, dir, true, &files, &err), 1);
    assert_string_equal(page(&files, "index.html"),
                        "<home><h1>chat.example.org</h1>\nR");
    assert_string_equal(page(&files, "sub/pic.txt"), "p");
    assert_null(find(&files, ".hidden"));
    op_files_clear(&files);

    put("own/src/more.md", "{{nonsense}}\n");
    assert_int_equal(op_pages_build(&conf, dir, false, &files, &err), -1);
    assert_non_null(strstr(err.text, "src/more.md:1:1: "));
    put("own/src/more.md", "a\n<<<<<<< HEAD\nb\n");
    assert_int_equal(op_pages_build(&conf, dir, false, &files, &err), -1);
    assert_non_null(strstr(err.text, "src/more.md has conflict markers"));
    assert_int_equal(files.count, 0);
    op_files_clear(&files);
    cm_conf_clear(&conf);
    free(ini);
}

static void test_disabled(void **state)
{
    (void)state;
    struct cm_conf conf = parse("www_folder = disabled\n");
    struct op_files files = {0};
    struct cm_err err;

    assert_int_equal(op_pages_build(&conf, dir, false, &files, &err), 0);
    assert_int_equal(files.count, 0);
    cm_conf_clear(&conf);
}

static void test_link(void **state)
{
    (void)state;
    static const char *const inis[][2] = {
        {"[params]\nmail_domain = _x.example\n", "dcaccount:_x.example"},
        {"[params]\nmail_domain = 1.3.3.7\n", "dcaccount:https://1.3.3.7/new"}};
    for (size_t i = 0; i < 2; i++) {
        struct cm_conf conf;
        struct cm_err err;
        assert_int_equal(
            cm_conf_parse("x", inis[i][0], strlen(inis[i][0]), &conf, &err), 0);
        char *link = op_pages_link(&conf);
        assert_string_equal(link, inis[i][1]);
        free(link);
        cm_conf_clear(&conf);
    }
}

static void test_qr_too_long(void **state)
{
    (void)state;
    char text[OP_QR_TEXT_MAX + 2];
    char *svg;
    struct cm_err err;

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(op_qr_svg(text, &svg, &err), -1);
    text[OP_QR_TEXT_MAX] = '\0';
    assert_int_equal(op_qr_svg(text, &svg, &err), 0);
    free(svg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own),      cmocka_unit_test(test_registrations),
        cmocka_unit_test(test_disabled), cmocka_unit_test(test_custom_folder),
        cmocka_unit_test(test_link),     cmocka_unit_test(test_qr_too_long),
    };
    if (mkdtemp(dir) == NULL)
        return 1;
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    const char *const rm[] = {"rm", "-rf", dir, NULL};
    struct cm_run run = {.argv = rm};
    struct cm_err err;
    return cm_run_ok(&run, NULL, &err) != 0 ? 1 : rc;
}
