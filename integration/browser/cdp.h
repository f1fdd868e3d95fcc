/* cdp: a headless Chromium, asked over a pipe (Chrome DevTools Protocol; messages are
 * JSON, each ended by a NUL). For tests: anything unexpected ends the test with a text.
 * It resolves no name and reaches loopback only. */
#ifndef BROWSER_CDP_H
#define BROWSER_CDP_H

#include <jansson.h>
#include <stdbool.h>

#define CDP_LIMIT_MS 15000 /* for each answer */

struct cdp;

/* dir: of the caller, for its profile. */
struct cdp *cdp_start(const char *dir);
void cdp_stop(struct cdp **cdp); /* kills it with all its children */

/* One command to the page; params may be NULL and are taken over. The caller owns the
 * result. */
json_t *cdp_ask(struct cdp *cdp, const char *method, json_t *params);

struct cdp_view {
    int width, height;
    bool dark;
    bool no_script;
};
void cdp_view(struct cdp *cdp, const struct cdp_view *view);
/* Loads and waits until all is there. */
void cdp_open(struct cdp *cdp, const char *url);
/* The value of a JavaScript expression, also of a promise. The caller owns it. */
json_t *cdp_eval(struct cdp *cdp, const char *expression);
bool cdp_true(struct cdp *cdp, const char *expression);
/* Until it is true, at most that long. */
void cdp_until(struct cdp *cdp, const char *expression, int limit_ms);
void cdp_tab(struct cdp *cdp); /* the key */
/* The whole page, as PNG. */
void cdp_screenshot(struct cdp *cdp, const char *path);

#endif
