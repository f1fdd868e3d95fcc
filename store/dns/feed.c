#include "feed.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define WORDS_MAX (3 + CM_ADDRESSES_MAX)

static size_t split(char *line, char *words[WORDS_MAX + 1])
{
    char *at = line, *word;
    size_t n = 0;

    while (n <= WORDS_MAX && (word = strsep(&at, " ")) != NULL) {
        words[n++] = word;
    }
    return n;
}

static bool copy(char *out, size_t size, const char *word)
{
    size_t n = strlen(word);

    if (n == 0 || n >= size) {
        return false;
    }
    memcpy(out, word, n + 1);
    return true;
}

static bool read_gateway(char *words[], size_t n, struct feed_gateway *g)
{
    struct cm_err ignored;
    enum cm_mode mode;

    *g = (struct feed_gateway){.name = ""};
    if (n < 3 || n > WORDS_MAX || !copy(g->name, sizeof(g->name), words[0]) ||
        cm_mode_parse(words[1], &mode, &ignored) != 0) {
        return false;
    }
    bool up = strcmp(words[2], "up") == 0 || strcmp(words[2], "impaired") == 0;
    if (!up && strcmp(words[2], "down") != 0) {
        return false;
    }
    g->meant = mode == CM_MODE_ACTIVE || mode == CM_MODE_HOLD;
    g->well = up;
    for (size_t i = 3; i < n; i++) {
        if ((!cm_value_is_ipv4(words[i]) && !cm_value_is_ipv6(words[i])) ||
            !copy(g->addresses[g->address_count++], sizeof(g->addresses[0]),
                  words[i])) {
            return false;
        }
    }
    return true;
}

static bool read_line(char *line, struct feed *f)
{
    char *words[WORDS_MAX + 1];
    size_t n = split(line, words);
    struct cm_err ignored;

    if (f->domain[0] == '\0') {
        return n == 2 && strcmp(words[0], "domain") == 0 &&
               cm_value_domain(words[1], &ignored) == 0 &&
               copy(f->domain, sizeof(f->domain), words[1]);
    }
    return f->count < CM_GATEWAYS_MAX &&
           read_gateway(words, n, &f->gateways[f->count++]);
}

int feed_parse(const char *text, size_t len, struct feed *feed_r, struct cm_err *err)
{
    struct feed *f = cm_calloc(1, sizeof(*f));
    char *copied = cm_strndup(text, len), *at = copied, *line;
    bool good = strlen(copied) == len && len <= FEED_MAX;

    while (good && (line = strsep(&at, "\n")) != NULL &&
           (at != NULL || *line != '\0')) {
        good = read_line(line, f);
    }
    if (good) {
        *feed_r = *f;
    } else {
        cm_err_set(err, CM_ERR_REFUSE, "not a list of gateways");
    }
    free(copied);
    free(f);
    return good ? 0 : -1;
}
