#include "audit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Contrast as WCAG 2.2 defines it (1.4.3). */
static const char complaints[] =
    "(() => { const out = [];"
    "const rgb = s => { const m = s.match(/[\\d.]+/g).map(Number);"
    " return m.length > 3 && m[3] === 0 ? null : m.slice(0, 3); };"
    "const lum = c => { const l = c.map(v => { v /= 255;"
    " return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });"
    " return .2126 * l[0] + .7152 * l[1] + .0722 * l[2]; };"
    "const ground = e => { for (; e; e = e.parentElement) {"
    " const c = rgb(getComputedStyle(e).backgroundColor); if (c) return c; }"
    " return matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18]"
    " : [255, 255, 255]; };"
    "const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);"
    "for (let n; n = walk.nextNode();) { const e = n.parentElement;"
    " if (!n.data.trim() || !e.getClientRects().length ||"
    " ['SCRIPT', 'STYLE', 'NOSCRIPT', 'title'].includes(e.tagName)) continue;"
    " const s = getComputedStyle(e), svg = e instanceof SVGElement;"
    " const a = lum(rgb(svg ? s.fill : s.color)), b = lum(ground(e));"
    " const r = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);"
    " const px = parseFloat(s.fontSize), large = px >= 24 ||"
    " (px >= 18.66 && s.fontWeight >= 700);"
    " if (r < (large ? 3 : 4.5)) out.push('contrast ' + r.toFixed(2) + ': '"
    " + n.data.trim().slice(0, 40)); }"
    "const d = document.documentElement;"
    "if (d.scrollWidth > d.clientWidth) out.push('scrolls sideways: ' + d.scrollWidth);"
    "if (!d.lang) out.push('no language');"
    "if (!document.title) out.push('no title');"
    "if (document.querySelectorAll('h1').length !== 1) out.push('not one h1');"
    "for (const e of document.querySelectorAll('img:not([alt])'))"
    " out.push('no text for ' + e.src);"
    "for (const e of document.querySelectorAll('svg'))"
    " if (!e.getAttribute('aria-label') && !e.querySelector('title') &&"
    " e.getAttribute('aria-hidden') !== 'true') out.push('an SVG without text');"
    "for (const e of document.querySelectorAll('nav a, .button, button'))"
    " if (e.getBoundingClientRect().height < 24) out.push('low: ' + e.textContent);"
    "return out; })()";

static const char focus[] =
    "(() => { const e = document.activeElement, s = getComputedStyle(e);"
    " if (!e || e === document.body) return '';"
    " const seen = (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 1) ||"
    " s.boxShadow !== 'none'; const r = e.getBoundingClientRect();"
    " return (seen && r.width > 0 ? 'seen ' : 'unseen ')"
    " + [...document.querySelectorAll('a[href], button, summary')].indexOf(e); })()";

json_t *audit_list(struct cdp *c)
{
    json_t *list = cdp_eval(c, complaints);

    assert_true(json_is_array(list));
    return list;
}

void audit_page(struct cdp *c, const char *where)
{
    json_t *list = audit_list(c);

    if (json_array_size(list) > 0) {
        char *text = json_dumps(list, JSON_INDENT(1));
        fail_msg("%s: %.2000s", where, text);
    }
    json_decref(list);
}

void audit_keyboard(struct cdp *c, const char *where)
{
    json_t *count = cdp_eval(c, "document.querySelectorAll('a[href], button, summary')"
                                ".length");
    json_int_t n = json_integer_value(count);

    assert_true(n > 0);
    for (json_int_t i = 0; i < n; i++) {
        char want[40];
        cdp_tab(c);
        json_t *at = cdp_eval(c, focus);
        snprintf(want, sizeof(want), "seen %lld", (long long)i);
        if (strcmp(json_string_value(at), want) != 0) {
            fail_msg("%s: Tab %lld shows \"%s\"", where, (long long)i + 1,
                     json_string_value(at));
        }
        json_decref(at);
    }
    json_decref(count);
}
