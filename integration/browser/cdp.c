#include "cdp.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"

#define SAID_MAX (64u << 20)

struct cdp {
    pid_t pid;
    int to, from;
    struct cm_buf said;
    int id;
    char *session;
    bool loaded; /* since the last cdp_open */
};

/* fd 3 is what it hears, fd 4 what it says. */
static void run_browser(const char *dir, int hears, int says)
{
    char *profile = cm_asprintf("--user-data-dir=%s", dir);

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int a = fcntl(hears, F_DUPFD, 10), b = fcntl(says, F_DUPFD, 10);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    dup2(a, 3);
    dup2(b, 4);
    execlp(
        "chromium", "chromium", "--headless=new", "--remote-debugging-pipe",
        "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--disable-extensions", "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
        profile, "about:blank", (char *)NULL);
    _exit(127);
}

static void hear_more(struct cdp *c, int64_t until)
{
    struct pollfd p = {.fd = c->from, .events = POLLIN};
    static char chunk[262144];
    int64_t left = until - cm_now_mono_ms();

    if (left <= 0 || poll(&p, 1, (int)left) <= 0) {
        fail_msg("Chromium does not answer");
    }
    ssize_t n = read(c->from, chunk, sizeof(chunk));
    if (n <= 0) {
        fail_msg("Chromium has ended (is it installed?)");
    }
    cm_buf_add(&c->said, chunk, (size_t)n);
    assert_false(c->said.overflow);
}

/* The next message; its events are noted here. */
static json_t *hear(struct cdp *c, int64_t until)
{
    char *end;

    while ((end = memchr(c->said.data, '\0', c->said.len)) == NULL) {
        hear_more(c, until);
    }
    json_t *o = json_loads(c->said.data, 0, NULL);
    assert_non_null(o);
    cm_buf_consume(&c->said, (size_t)(end - c->said.data) + 1);
    const char *event = json_string_value(json_object_get(o, "method"));
    c->loaded =
        c->loaded || (event != NULL && strcmp(event, "Page.loadEventFired") == 0);
    return o;
}

json_t *cdp_ask(struct cdp *c, const char *method, json_t *params)
{
    int64_t until = cm_now_mono_ms() + CDP_LIMIT_MS;
    json_t *o = json_pack("{s:i, s:s, s:o}", "id", ++c->id, "method", method, "params",
                          params != NULL ? params : json_object());

    if (c->session != NULL) {
        json_object_set_new(o, "sessionId", json_string(c->session));
    }
    char *text = json_dumps(o, JSON_COMPACT);
    size_t len = strlen(text) + 1;
    assert_int_equal(write(c->to, text, len), len);
    free(text);
    json_decref(o);
    for (;;) {
        o = hear(c, until);
        if (json_integer_value(json_object_get(o, "id")) == c->id) {
            break;
        }
        json_decref(o);
    }
    json_t *result = json_incref(json_object_get(o, "result"));
    if (result == NULL) {
        text = json_dumps(o, JSON_COMPACT);
        fail_msg("%s: %s", method, text);
    }
    json_decref(o);
    return result;
}

static void drop(json_t *o)
{
    json_decref(o);
}

static void attach(struct cdp *c)
{
    json_t *made =
        cdp_ask(c, "Target.createTarget", json_pack("{s:s}", "url", "about:blank"));
    json_t *at = cdp_ask(c, "Target.attachToTarget",
                         json_pack("{s:O, s:b}", "targetId",
                                   json_object_get(made, "targetId"), "flatten", 1));

    c->session = cm_strdup(json_string_value(json_object_get(at, "sessionId")));
    json_decref(made);
    json_decref(at);
    drop(cdp_ask(c, "Page.enable", NULL));
}

struct cdp *cdp_start(const char *dir)
{
    struct cdp *c = cm_calloc(1, sizeof(*c));
    int in[2], out[2];

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    cm_buf_init(&c->said, SAID_MAX);
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) {
        run_browser(dir, in[0], out[1]);
    }
    close(in[0]);
    close(out[1]);
    c->to = in[1];
    c->from = out[0];
    attach(c);
    return c;
}

void cdp_stop(struct cdp **cp)
{
    struct cdp *c = *cp;

    if (c == NULL) {
        return;
    }
    kill(-c->pid, SIGKILL);
    waitpid(c->pid, NULL, 0);
    close(c->to);
    close(c->from);
    cm_buf_clear(&c->said);
    free(c->session);
    free(c);
    *cp = NULL;
}

void cdp_view(struct cdp *c, const struct cdp_view *v)
{
    drop(cdp_ask(c, "Emulation.setDeviceMetricsOverride",
                 json_pack("{s:i, s:i, s:i, s:b}", "width", v->width, "height",
                           v->height, "deviceScaleFactor", 1, "mobile",
                           v->width < 600)));
    drop(cdp_ask(c, "Emulation.setEmulatedMedia",
                 json_pack("{s:[{s:s, s:s}]}", "features", "name",
                           "prefers-color-scheme", "value",
                           v->dark ? "dark" : "light")));
    drop(cdp_ask(c, "Emulation.setScriptExecutionDisabled",
                 json_pack("{s:b}", "value", v->no_script)));
}

void cdp_open(struct cdp *c, const char *url)
{
    int64_t until = cm_now_mono_ms() + CDP_LIMIT_MS;

    c->loaded = false;
    json_t *o = cdp_ask(c, "Page.navigate", json_pack("{s:s}", "url", url));
    const char *why = json_string_value(json_object_get(o, "errorText"));
    if (why != NULL) {
        fail_msg("%s: %s", url, why);
    }
    json_decref(o);
    while (!c->loaded) {
        drop(hear(c, until));
    }
}

json_t *cdp_eval(struct cdp *c, const char *expression)
{
    json_t *o = cdp_ask(c, "Runtime.evaluate",
                        json_pack("{s:s, s:b, s:b}", "expression", expression,
                                  "returnByValue", 1, "awaitPromise", 1));
    if (json_object_get(o, "exceptionDetails") != NULL) {
        char *text = json_dumps(o, JSON_COMPACT);
        fail_msg("%.200s: %.800s", expression, text);
    }
    json_t *value = json_incref(json_object_get(json_object_get(o, "result"), "value"));
    json_decref(o);
    return value;
}

bool cdp_true(struct cdp *c, const char *expression)
{
    json_t *value = cdp_eval(c, expression);
    bool is = json_is_true(value);

    json_decref(value);
    return is;
}

void cdp_until(struct cdp *c, const char *expression, int limit_ms)
{
    int64_t until = cm_now_mono_ms() + limit_ms;

    while (!cdp_true(c, expression)) {
        if (cm_now_mono_ms() > until) {
            fail_msg("never true: %s", expression);
        }
        usleep(100000);
    }
}

void cdp_tab(struct cdp *c)
{
    static const char *const types[] = {"rawKeyDown", "keyUp"};

    for (int i = 0; i < 2; i++) {
        drop(cdp_ask(c, "Input.dispatchKeyEvent",
                     json_pack("{s:s, s:s, s:s, s:i}", "type", types[i], "key", "Tab",
                               "code", "Tab", "windowsVirtualKeyCode", 9)));
    }
}

static int sextet(char c)
{
    static const char set[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(set, c) : NULL;

    return at != NULL ? (int)(at - set) : -1;
}

void cdp_screenshot(struct cdp *c, const char *path)
{
    json_t *o =
        cdp_ask(c, "Page.captureScreenshot",
                json_pack("{s:s, s:b}", "format", "png", "captureBeyondViewport", 1));
    const char *text = json_string_value(json_object_get(o, "data"));
    FILE *f = fopen(path, "w");
    unsigned bits = 0, have = 0;

    assert_non_null(text);
    assert_non_null(f);
    for (; *text != '\0' && sextet(*text) >= 0; text++) {
        bits = bits << 6 | (unsigned)sextet(*text);
        have += 6;
        if (have >= 8) {
            have -= 8;
            fputc((int)(bits >> have & 255), f);
        }
    }
    assert_int_equal(fclose(f), 0);
    json_decref(o);
}
