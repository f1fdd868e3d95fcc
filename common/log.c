#include "common/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

#define MAX_LINE 4096 /* with prefix and newline; longer ones end in "..." */
/* Leaves room for the longest prefix, the dots and the newline. */
#define MAX_TEXT        (MAX_LINE - 72)
#define LIMIT_COUNT     20
#define LIMIT_WINDOW_MS 10000
#define LIMIT_EVENTS    64 /* when more event names are about, the oldest starts anew */
#define MAX_EVENT_NAME  48

/* Fills up and stops: a longer line is cut between two characters. */
struct line {
    char text[MAX_LINE];
    size_t len;
    bool cut;
};

struct limit {
    char event[MAX_EVENT_NAME];
    int64_t since_ms;
    unsigned count;
    unsigned suppressed;
};

/* Worker threads log too. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct limit limits[LIMIT_EVENTS];

static char program_name[64] = "";
static enum cm_log_level lowest_level = CM_LOG_INFO;
static bool to_journal;
static void (*capture_cb)(const char *line, void *ctx);
static void *capture_ctx;

/* systemd sets JOURNAL_STREAM=DEVICE:INODE; a child with its stderr elsewhere inherits
 * the variable, so the file is compared. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    if (stream == NULL || fstat(STDERR_FILENO, &st) != 0) {
        return false;
    }
    char mine[64];
    snprintf(mine, sizeof(mine), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(stream, mine) == 0;
}

void cm_log_init(const char *program, enum cm_log_level lowest)
{
    snprintf(program_name, sizeof(program_name), "%s", program);
    lowest_level = lowest;
    to_journal = stderr_is_journal();
}

void cm_log_capture(void (*cb)(const char *line, void *ctx), void *ctx)
{
    capture_cb = cb;
    capture_ctx = ctx;
}

/* Length of the well-formed UTF-8 character at s, or 0. journald calls a line with
 * anything else a blob and does not show it. */
static size_t utf8_length(const unsigned char *s)
{
    size_t n = s[0] < 0xc2   ? 0
               : s[0] < 0xe0 ? 2
               : s[0] < 0xf0 ? 3
               : s[0] < 0xf5 ? 4
                             : 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool outside = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    bool control = s[0] == 0xc2 && s[1] < 0xa0;
    return overlong || outside || control ? 0 : n;
}

static void put(struct line *line, const void *data, size_t n)
{
    if (line->cut || n > MAX_TEXT - line->len) {
        line->cut = true;
        return;
    }
    memcpy(line->text + line->len, data, n);
    line->len += n;
}

static void put_str(struct line *line, const char *s)
{
    put(line, s, strlen(s));
}

/* In quotes, '"' and '\' are escaped as well. */
static void put_escaped(struct line *line, const char *text, bool quoted)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        const char *named = *p < 0x20 ? strchr("\nn\rr\tt", *p) : NULL;
        if (named != NULL) {
            put(line, (char[]){'\\', named[1]}, 2);
        } else if (quoted && (*p == '"' || *p == '\\')) {
            put(line, (char[]){'\\', (char)*p}, 2);
        } else if (*p >= 0x20 && *p < 0x7f) {
            put(line, p, 1);
        } else if (utf8_length(p) > 0) {
            size_t n = utf8_length(p);
            put(line, p, n);
            p += n - 1;
        } else {
            char hex[8];
            put(line, hex, (size_t)snprintf(hex, sizeof(hex), "\\x%02x", *p));
        }
        if (line->cut) {
            return;
        }
    }
}

static bool needs_quotes(const char *value)
{
    if (*value == '\0' || strcmp(value, "-") == 0) {
        return true;
    }
    for (const unsigned char *p = (const unsigned char *)value; *p != '\0'; p++) {
        if (*p <= ' ' || *p == '"' || *p == '=' || *p == '\\' || *p >= 0x7f) {
            return true;
        }
    }
    return false;
}

static void put_pair(struct line *line, const char *key, const char *value)
{
    put_str(line, line->len > 0 ? " " : "");
    put_str(line, key);
    put_str(line, "=");
    if (value == NULL) {
        put_str(line, "-");
        return;
    }
    bool quoted = needs_quotes(value);
    put_str(line, quoted ? "\"" : "");
    put_escaped(line, value, quoted);
    put_str(line, quoted ? "\"" : "");
}

static struct limit *find_limit(const char *event)
{
    struct limit *oldest = &limits[0];
    for (size_t i = 0; i < LIMIT_EVENTS; i++) {
        struct limit *l = &limits[i];
        if (strncmp(l->event, event, sizeof(l->event) - 1) == 0) {
            return l;
        }
        if (l->event[0] == '\0' ||
            (oldest->event[0] != '\0' && l->since_ms < oldest->since_ms)) {
            oldest = l;
        }
    }
    *oldest = (struct limit){.since_ms = cm_now_mono_ms()};
    snprintf(oldest->event, sizeof(oldest->event), "%s", event);
    return oldest;
}

/* False: say nothing now. Else *suppressed_r lines were left out before this one. */
static bool admit(const char *event, unsigned *suppressed_r)
{
    pthread_mutex_lock(&lock);
    struct limit *l = find_limit(event);
    int64_t now = cm_now_mono_ms();
    if (now - l->since_ms >= LIMIT_WINDOW_MS || now < l->since_ms) {
        l->since_ms = now;
        l->count = 0;
    }
    bool admitted = l->count < LIMIT_COUNT;
    if (admitted) {
        l->count++;
        *suppressed_r = l->suppressed;
        l->suppressed = 0;
    } else {
        l->suppressed++;
    }
    pthread_mutex_unlock(&lock);
    return admitted;
}

static void emit(enum cm_log_level level, struct line *line)
{
    static const int priority[] = {7, 6, 4, 3};
    const char *more = line->cut ? "..." : "";
    char text[MAX_LINE];
    int len = (int)line->len;
    if (capture_cb != NULL) {
        snprintf(text, sizeof(text), "%.*s%s", len, line->text, more);
        capture_cb(text, capture_ctx);
        return;
    }
    int n;
    if (to_journal) {
        n = snprintf(text, sizeof(text), "<%d>%.*s%s\n", priority[level], len,
                     line->text, more);
    } else {
        n = snprintf(text, sizeof(text), "%s%s%.*s%s\n", program_name,
                     program_name[0] != '\0' ? ": " : "", len, line->text, more);
    }
    /* One write, so that lines of threads and processes do not mix. If stderr is gone
     * there is nowhere left to say so. */
    ssize_t ignored = write(STDERR_FILENO, text, (size_t)n);
    (void)ignored;
}

void cm_log(enum cm_log_level level, const char *event, ...)
{
    unsigned suppressed;
    if (level < lowest_level || !admit(event, &suppressed)) {
        return;
    }
    struct line line = {.len = 0};
    put_pair(&line, "event", event);
    if (suppressed > 0) {
        char count[16];
        snprintf(count, sizeof(count), "%u", suppressed);
        put_pair(&line, "suppressed", count);
    }
    va_list ap;
    va_start(ap, event);
    for (const char *key; (key = va_arg(ap, const char *)) != NULL;) {
        put_pair(&line, key, va_arg(ap, const char *));
    }
    va_end(ap);
    emit(level, &line);
}

void cm_log_text(enum cm_log_level level, const char *fmt, ...)
{
    if (level < lowest_level) {
        return;
    }
    char text[MAX_LINE];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    struct line line = {.len = 0};
    put_escaped(&line, text, false);
    line.cut = line.cut || n >= (int)sizeof(text);
    emit(level, &line);
}

static const char *kind_name(enum cm_err_kind kind)
{
    switch (kind) {
    case CM_ERR_NONE:
        return "none";
    case CM_ERR_RETRY:
        return "retry";
    case CM_ERR_REFUSE:
        return "refuse";
    case CM_ERR_WORLD:
        return "world";
    }
    return "unknown";
}

void cm_log_state(const char *what, bool up, const char *reason, const char *effect)
{
    char event[64];
    snprintf(event, sizeof(event), "%s_%s", what, up ? "up" : "down");
    if (up) {
        cm_log(CM_LOG_INFO, event, NULL);
    } else {
        cm_log(CM_LOG_ERROR, event, "reason", reason, "effect", effect, NULL);
    }
}

void cm_log_err(enum cm_log_level level, const char *event, const struct cm_err *err)
{
    cm_log(level, event, "kind", kind_name(err->kind), "reason", err->text, NULL);
}
