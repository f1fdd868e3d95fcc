#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mem.h"
#include "log.h"

/* "1764230692.123456": microseconds, with *end behind it. false when it is none. */
static bool read_time(const char *text, int64_t *us_r, char **end)
{
    long long seconds = strtoll(text, end, 10), fraction = 0;
    int digits = 0;

    if (*end == text || !isdigit((unsigned char)text[0]) || **end != '.' ||
        seconds > INT64_MAX / 1000000 - 1) {
        return false;
    }
    for ((*end)++; isdigit((unsigned char)**end); (*end)++, digits++) {
        fraction = digits < 6 ? fraction * 10 + (**end - '0') : fraction;
    }
    for (; digits < 6; digits++) {
        fraction *= 10;
    }
    *us_r = (int64_t)seconds * 1000000 + fraction;
    return **end == ' ';
}

/* Cuts "IDENT[PID]: " off. */
static char *cut_ident(char *at, const char **ident_r)
{
    char *end = strstr(at, ": ");

    if (end == NULL) {
        return at;
    }
    *end = '\0';
    *ident_r = at;
    size_t n = strcspn(at, "[");
    at[n] = '\0';
    return end + 2;
}

void op_log_split(char *line, const char *node, struct op_log_line *last,
                  struct op_log_line *line_r)
{
    char *end;
    int64_t us;

    *line_r = (struct op_log_line){.time_us = last->time_us,
                                   .node = node,
                                   .ident = last->ident != NULL ? last->ident : "",
                                   .text = line + strspn(line, " \t")};
    if (read_time(line, &us, &end)) {
        char *host = end + 1;
        char *blank = strchr(host, ' ');
        line_r->time_us = us;
        line_r->ident = "";
        line_r->text = host;
        if (blank != NULL) {
            line_r->text = cut_ident(blank + 1, &line_r->ident);
        }
    }
    *last = *line_r;
}

void op_log_add(struct op_log *log, const char *node, char *text)
{
    struct op_log_line last = {.time_us = 0};
    char *save = NULL;

    for (char *l = strtok_r(text, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        if (log->count == log->cap) {
            log->cap = log->cap == 0 ? 256 : log->cap * 2;
            log->lines = cm_realloc_array(log->lines, log->cap, sizeof(*log->lines));
        }
        op_log_split(l, node, &last, &log->lines[log->count]);
        log->lines[log->count].order = log->count;
        log->count++;
    }
}

static int by_time(const void *a, const void *b)
{
    const struct op_log_line *x = a, *y = b;

    if (x->time_us != y->time_us) {
        return x->time_us < y->time_us ? -1 : 1;
    }
    return x->order < y->order ? -1 : x->order > y->order;
}

void op_log_sort(struct op_log *log)
{
    if (log->count > 1) {
        qsort(log->lines, log->count, sizeof(*log->lines), by_time);
    }
}

void op_log_clear(struct op_log *log)
{
    free(log->lines);
    *log = (struct op_log){.count = 0};
}

/* As journalctl takes it; the rest of what it would take is no loss. */
static bool is_moment(const char *word)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%d %H:%M",
                                        "%Y-%m-%d %H:%M:%S", "%H:%M", "%H:%M:%S"};

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm tm = {.tm_year = 0};
        const char *end = strptime(word, forms[i], &tm);
        if (end != NULL && *end == '\0') {
            return true;
        }
    }
    size_t n = strlen(word);
    bool ago = word[0] >= '0' && word[0] <= '9' && n > 4 &&
               strcmp(word + n - 4, " ago") == 0 &&
               word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789 ")] == '\0';
    return ago || strcmp(word, "today") == 0 || strcmp(word, "yesterday") == 0;
}

char *op_log_since(const char *word, struct cm_err *err)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    size_t digits = strspn(word, "0123456789");

    if (digits > 0 && digits < 8 && word[digits] != '\0' && word[digits + 1] == '\0') {
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
            if (units[i].unit == word[digits]) {
                return cm_asprintf("-%lld s", strtoll(word, NULL, 10) *
                                                  (long long)units[i].seconds);
            }
        }
    }
    if (!is_moment(word)) {
        cm_err_set(
            err, CM_ERR_REFUSE,
            "--since \"%.60s\": not understood; allowed: 15m, 2h, 3d, or a time as "
            "\"2026-11-27 08:00\"",
            word);
        return NULL;
    }
    return cm_strdup(word);
}
