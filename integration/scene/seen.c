#include "seen.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MAX_LOG_LINE 4096

static bool is_address(const char *s)
{
    unsigned char raw[16];
    return inet_pton(AF_INET, s, raw) == 1 || inet_pton(AF_INET6, s, raw) == 1;
}

/* The run of address characters at `at`, if it is an address. */
static bool take_address(const char *at, char out[SEEN_ADDRESS])
{
    size_t n = strspn(at, "0123456789abcdefABCDEF.:");
    char word[SEEN_ADDRESS];
    while (n > 0 && at[n - 1] == ':' && (n < 2 || at[n - 2] != ':')) {
        n--; /* the colon of "[...]: 554" is no part of it */
    }
    if (n == 0 || n >= sizeof word) {
        return false;
    }
    memcpy(word, at, n);
    word[n] = '\0';
    if (!is_address(word)) {
        return false;
    }
    memcpy(out, word, n + 1);
    return true;
}

static bool address_of_line(const char *line, char out[SEEN_ADDRESS])
{
    const char *at = strstr(line, "rip=");
    if (at != NULL) {
        return take_address(at + 4, out);
    }
    at = strstr(line, " from ");
    at = at == NULL ? NULL : strchr(at, '[');
    if (at != NULL) {
        return take_address(at + 1, out);
    }
    for (at = line; *at != '\0'; at++) {
        if ((at == line || at[-1] == ' ') && take_address(at, out)) {
            return true;
        }
    }
    return false;
}

/* Copies the line at *log, steps over it. False at the end. */
static bool next_line(const char **log, char line[MAX_LOG_LINE])
{
    if (**log == '\0') {
        return false;
    }
    size_t n = strcspn(*log, "\n");
    snprintf(line, MAX_LOG_LINE, "%.*s", (int)(n < MAX_LOG_LINE ? n : MAX_LOG_LINE - 1),
             *log);
    *log += n + ((*log)[n] == '\n');
    return true;
}

int seen_address(const char *log, const char *token, char out[SEEN_ADDRESS])
{
    char line[MAX_LOG_LINE];
    while (next_line(&log, line)) {
        if (strstr(line, token) != NULL && address_of_line(line, out)) {
            return 1;
        }
    }
    return 0;
}

static bool address_of_connect(const char *at, char out[SEEN_ADDRESS])
{
    at = strchr(at, '[');
    return at != NULL && take_address(at + 1, out);
}

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += n) {
        if ((at == words || at[-1] == ' ') && (at[n] == '\0' || at[n] == ' ')) {
            return true;
        }
    }
    return false;
}

void seen_connects(const char *log, char *out, unsigned size)
{
    char line[MAX_LOG_LINE];
    char address[SEEN_ADDRESS];
    out[0] = '\0';
    while (next_line(&log, line)) {
        const char *at = strncmp(line, "connect from ", 13) == 0
                             ? line
                             : strstr(line, " connect from ");
        if (at == NULL || !address_of_connect(at, address) || has_word(out, address)) {
            continue;
        }
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s", used ? " " : "", address);
    }
}

void seen_posts(const char *log, const char *path, char *out, unsigned size)
{
    char line[MAX_LOG_LINE];
    while (next_line(&log, line)) {
        char *post = strstr(line, " \"POST ");
        if (post == NULL || strstr(post, path) == NULL) {
            continue;
        }
        *post = '\0';
        const char *blank = strrchr(line, ' ');
        const char *address = blank != NULL ? blank + 1 : line;
        size_t used = strlen(out);
        if (address[0] != '\0' && !has_word(out, address)) {
            snprintf(out + used, size - used, "%s%s", used > 0 ? " " : "", address);
        }
    }
}
