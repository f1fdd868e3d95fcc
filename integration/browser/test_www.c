/* The public pages in headless Chromium: phone and desktop, light and dark, with and
 * without scripts, by keyboard. Screenshots are left in SCREENSHOTS to be looked at. */
#include <libgen.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit.h"
#include "cdp.h"
#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"
#include "ops/pages.h"

static const char ini[] =
    "[params]\nmail_domain = chat.example.org\n"
    "privacy_postal = Example Society, Street 1, 12345 Town\n"
    "privacy_mail = privacy@example.org\nprivacy_pdo = Data Officer, Street 2\n"
    "privacy_supervisor = State Commissioner, Street 3\n";

static const char *const pages[] = {"index.html", "info.html", "privacy.html"};

static char dir[64];
static struct cdp *browser;

static void put_pages(void)
{
    struct cm_conf conf;
    struct op_files files = {0};
    struct cm_err err;
    assert_int_equal(cm_conf_parse("x", ini, strlen(ini), &conf, &err), 0);
    if (op_pages_build(&conf, dir, false, &files, &err) != 1)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < files.count; i++) {
        const struct op_file *f = &files.items[i];
        char *path = cm_asprintf("%s%s", dir, f->path), *copy = cm_strdup(path);
        assert_int_equal(cm_file_mkdirs(dirname(copy), 0755, &err), 0);
        assert_int_equal(cm_file_replace(path, f->content, f->len, 0644, &err), 0);
        free(copy);
        free(path);
    }
    op_files_clear(&files);
    cm_conf_clear(&conf);
}

static int setup(void **state)
{
    (void)state;
    struct cm_err err;
    char profile[96];
    daemonkit_dir(dir, "www");
    daemonkit_path(profile, dir, "profile");
    put_pages();
    assert_int_equal(cm_file_mkdirs(SCREENSHOTS, 0755, &err), 0);
    browser = cdp_start(profile);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cdp_stop(&browser);
    daemonkit_dir_remove(dir);
    return 0;
}

static void open_page(const char *name)
{
    char *url = cm_asprintf("file://%s" OP_PAGES_ROOT "/%s", dir, name);
    cdp_open(browser, url);
    free(url);
}

static void look(const char *name, const struct cdp_view *view)
{
    char *where =
        cm_asprintf("%.*s-%d-%s%s", (int)strcspn(name, "."), name, view->width,
                    view->dark ? "dark" : "light", view->no_script ? "-noscript" : "");
    char *shot = cm_asprintf(SCREENSHOTS "/www-%s.png", where);
    cdp_view(browser, view);
    open_page(name);
    audit_page(browser, where);
    audit_keyboard(browser, where);
    cdp_screenshot(browser, shot);
    free(shot);
    free(where);
}

static void test_looks(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        for (int k = 0; k < 4; k++) {
            look(pages[i], &(struct cdp_view){.width = k & 1 ? 1280 : 360,
                                              .height = k & 1 ? 800 : 740,
                                              .dark = k & 2});
        }
    }
}

/* What a page says does not depend on scripts: there are none. */
static void test_without_script(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        cdp_view(browser, &(struct cdp_view){.width = 360, .height = 740});
        open_page(pages[i]);
        json_t *with = cdp_eval(browser, "document.body.innerText");
        assert_true(cdp_true(browser, "document.scripts.length === 0"));
        look(pages[i],
             &(struct cdp_view){.width = 360, .height = 740, .no_script = true});
        json_t *without = cdp_eval(browser, "document.body.innerText");
        assert_true(strlen(json_string_value(with)) > 100);
        assert_string_equal(json_string_value(without), json_string_value(with));
        json_decref(with);
        json_decref(without);
    }
}

/* The start page does what it is for: a button and a QR code, large enough to scan. */
static void test_start(void **state)
{
    (void)state;
    cdp_view(browser, &(struct cdp_view){.width = 360, .height = 740});
    open_page("index.html");
    assert_true(cdp_true(browser, "document.querySelector('a.button').href.startsWith("
                                  "'dcaccount:')"));
    assert_true(cdp_true(browser, "(() => { const r = document.querySelector('.qr')"
                                  ".getBoundingClientRect(); return r.width >= 200 && "
                                  "Math.abs(r.width - r.height) < 2; })()"));
}

/* The audit itself: a page with every fault is complained of, each once. */
static void test_audit(void **state)
{
    (void)state;
    static const char bad[] =
        "<!DOCTYPE html><body style='background:white'><p style='color:%23888'>pale</p>"
        "<p style='color:%23888;font-size:30px'>large</p><img src='data:,'><svg></svg>"
        "<nav><a href='x' style='display:block;height:9px;overflow:hidden'>x</a></nav>"
        "<div style='width:2000px'>wide</div>";
    char *url = cm_asprintf("data:text/html,%s", bad);
    cdp_view(browser, &(struct cdp_view){.width = 360, .height = 740});
    cdp_open(browser, url);
    free(url);
    json_t *list = audit_list(browser);
    char *said = json_dumps(list, JSON_COMPACT);
    static const char *const want[] = {
        "contrast 3.54: pale", "scrolls sideways", "no language",         "no title",
        "not one h1",          "no text for",      "an SVG without text", "low: x"};
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        if (strstr(said, want[i]) == NULL)
            fail_msg("no \"%s\" in %s", want[i], said);
    }
    assert_int_equal(json_array_size(list), sizeof(want) / sizeof(want[0]));
    free(said);
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_looks), cmocka_unit_test(test_without_script),
        cmocka_unit_test(test_start), cmocka_unit_test(test_audit)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
