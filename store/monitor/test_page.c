/* The page and its plots as text. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "page.h"
#include "plot.h"

#define NOW 1800000000

static void figures(void **state)
{
    (void)state;
    static const struct {
        float value;
        enum plot_unit unit;
        const char *text;
    } cases[] = {
        {NAN, PLOT_COUNT, "-"},
        {0, PLOT_COUNT, "0"},
        {12, PLOT_COUNT, "12"},
        {1234, PLOT_COUNT, "1.2 k"},
        {1500000, PLOT_BYTES_S, "1.5 MB/s"},
        {0.5f, PLOT_PER_MINUTE, "30"},
        {0.34f, PLOT_SECONDS, "340 ms"},
        {12.34f, PLOT_SECONDS, "12.3 s"},
        {0.41f, PLOT_RATIO, "41 %"},
    };
    char text[24];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        plot_figure(cases[i].value, cases[i].unit, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void svg(void **state)
{
    (void)state;
    static const float points[] = {0, 5, NAN, 10};
    const struct plot p = {.title = "A<b>",
                           .span = "24 h",
                           .unit = PLOT_COUNT,
                           .lines = {{"edge\"1", points}},
                           .line_count = 1,
                           .point_count = 4};
    struct cm_buf b;
    cm_buf_init(&b, 8192);
    plot_svg(&p, &b);
    assert_string_equal(
        b.data,
        "<svg viewBox=\"0 0 360 100\" role=\"img\" aria-label=\"A&lt;b&gt;, last 24 h: "
        "edge&quot;1 now 10, least 0, most 10\"><path class=\"grid\" d=\"M0 6H360M0 "
        "52H360M0 99H360\"/><path class=\"c0\" d=\"M90.0 99.0h.1L180.0 52.5M360.0 "
        "6.0h.1\"/><text x=\"2\" y=\"17\">10</text><text x=\"2\" y=\"96\">-24 h</text>"
        "</svg>");
    cm_buf_clear(&b);
}

static char *page(const struct page_facts *f)
{
    struct cm_buf b;
    cm_buf_init(&b, PAGE_MAX);
    page_html(f, &b);
    assert_false(b.overflow);
    return cm_buf_steal(&b);
}

static void whole(void **state)
{
    (void)state;
    struct cm_err err;
    struct ring *r = ring_open(NULL, &err);
    const struct ring_sample s[] = {{"flows:edge1", 12}, {"queue", 3}};
    assert_int_equal(ring_add(r, NOW, s, 2, &err), 0);
    struct page_facts f = {
        .domain = "chat.example.org", .ring = r, .trouble = "", .now_s = NOW};
    char *text = page(&f);
    assert_non_null(strstr(text, "Nothing was measured yet."));
    free(text);
    f.metrics = "chatmail_gateway_up{gateway=\"edge1\"} 1\n"
                "chatmail_gateway_up{gateway=\"e<2\"} 0\n"
                "chatmail_gateway_impaired{gateway=\"edge1\"} 0\n"
                "chatmail_gateway_flows{gateway=\"edge1\"} 12\n"
                "chatmail_up{program=\"chatmail-auth\"} 1\n"
                "chatmail_up{program=\"chatmail-push\"} 0\n";
    f.trouble = "Connection refused";
    text = page(&f);
    assert_non_null(strstr(text, "edge1</th><td class=\"ok\">up</td><td>12</td>"));
    assert_non_null(strstr(text, "e&lt;2</th><td class=\"bad\">down</td>"));
    assert_non_null(strstr(text, "Silent: chatmail-push.</p>"));
    assert_non_null(strstr(text, "No figures from chatmail-web: Connection refused"));
    assert_non_null(strstr(text, "<li class=\"c0\">edge1 <b>12</b></li>"));
    assert_non_null(strstr(text, "aria-label=\"Queue, last 31 d: now 3,"));
    assert_null(strstr(text, " style=")); /* the page's policy would drop it */
    assert_null(strstr(text, "nan"));
    free(text);
    ring_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(figures), cmocka_unit_test(svg),
                                       cmocka_unit_test(whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
