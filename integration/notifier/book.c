#include "book.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

struct rule {
    char prefix[BOOK_PREFIX_MAX + 1];
    struct mood mood;
};

struct book {
    struct rule rules[BOOK_MOODS_MAX]; /* the first has the empty prefix */
    size_t rule_count;
    struct book_entry *entries;
    size_t count, room;
    uint64_t total;
};

/* ---- moods ---- */

static bool take_number(const char **at, long max, long *out)
{
    char *end;

    if (**at < '0' || **at > '9')
        return false;
    *out = strtol(*at, &end, 10);
    *at = end;
    return *out <= max;
}

int mood_parse(const char *text, struct mood *mood_r, struct cm_err *err)
{
    struct mood mood = {.kind = MOOD_STATUS};
    const char *at = text;
    long after = 0, status = 200;
    bool good = true;

    if (strcmp(text, "silent") == 0) {
        mood.kind = MOOD_SILENT;
    } else if (strcmp(text, "refuse") == 0) {
        mood.kind = MOOD_REFUSE;
    } else if (strncmp(text, "slow:", 5) == 0) {
        at += 5;
        good = take_number(&at, 3600000, &after);
        if (good && *at == ':') {
            at++;
            good = take_number(&at, 599, &status);
        }
        good = good && *at == '\0';
    } else {
        good = take_number(&at, 599, &status) && *at == '\0';
    }
    if (!good || status < 100)
        return cm_err_set(err, CM_ERR_REFUSE,
                          "\"%.40s\" is none of: STATUS, slow:MS, slow:MS:STATUS, "
                          "silent, refuse",
                          text);
    mood.status = (int)status;
    mood.after_ms = after;
    *mood_r = mood;
    return 0;
}

void mood_text(const struct mood *mood, char out[32])
{
    if (mood->kind == MOOD_SILENT)
        snprintf(out, 32, "silent");
    else if (mood->kind == MOOD_REFUSE)
        snprintf(out, 32, "refuse");
    else if (mood->after_ms > 0)
        snprintf(out, 32, "slow:%lld:%d", (long long)mood->after_ms, mood->status);
    else
        snprintf(out, 32, "%d", mood->status);
}

void book_clear_moods(struct book *book)
{
    book->rule_count = 1;
    book->rules[0] =
        (struct rule){.prefix = "", .mood = {.kind = MOOD_STATUS, .status = 200}};
}

int book_set_mood(struct book *book, const char *prefix, const struct mood *mood,
                  struct cm_err *err)
{
    size_t i = 0;

    if (strlen(prefix) > BOOK_PREFIX_MAX)
        return cm_err_set(err, CM_ERR_REFUSE, "longer than %d bytes", BOOK_PREFIX_MAX);
    while (i < book->rule_count && strcmp(book->rules[i].prefix, prefix) != 0)
        i++;
    if (i == BOOK_MOODS_MAX)
        return cm_err_set(err, CM_ERR_REFUSE, "more than %d moods", BOOK_MOODS_MAX);
    snprintf(book->rules[i].prefix, sizeof(book->rules[i].prefix), "%s", prefix);
    book->rules[i].mood = *mood;
    if (i == book->rule_count)
        book->rule_count++;
    return 0;
}

static bool begins(const char *token, size_t len, const char *prefix)
{
    size_t n = strlen(prefix);

    return n <= len && memcmp(token, prefix, n) == 0;
}

const struct mood *book_mood(const struct book *book, const char *token, size_t len)
{
    const struct rule *best = &book->rules[0];

    for (size_t i = 1; i < book->rule_count; i++) {
        const struct rule *rule = &book->rules[i];
        if (begins(token, len, rule->prefix) &&
            strlen(rule->prefix) > strlen(best->prefix))
            best = rule;
    }
    return &best->mood;
}

const struct mood *book_mood_at(const struct book *book, size_t i,
                                const char **prefix_r)
{
    if (i >= book->rule_count)
        return NULL;
    *prefix_r = book->rules[i].prefix;
    return &book->rules[i].mood;
}

/* ---- entries ---- */

struct book *book_new(void)
{
    struct book *book = cm_calloc(1, sizeof(*book));

    book_clear_moods(book);
    return book;
}

void book_forget(struct book *book)
{
    for (size_t i = 0; i < book->count; i++)
        free(book->entries[i].token);
    free(book->entries);
    book->entries = NULL;
    book->count = book->room = 0;
    book->total = 0;
}

void book_free(struct book **book)
{
    if (*book == NULL)
        return;
    book_forget(*book);
    free(*book);
    *book = NULL;
}

void book_add(struct book *book, const struct book_entry *entry)
{
    book->total++;
    if (book->count == BOOK_MAX)
        return;
    if (book->count == book->room) {
        book->room = book->room == 0 ? 1024 : book->room * 2;
        book->entries =
            cm_realloc_array(book->entries, book->room, sizeof(*book->entries));
    }
    struct book_entry *e = &book->entries[book->count++];
    *e = *entry;
    e->token = cm_malloc(entry->token_len + 1);
    memcpy(e->token, entry->token, entry->token_len);
    e->token[entry->token_len] = '\0';
}

uint64_t book_total(const struct book *book)
{
    return book->total;
}

size_t book_count(const struct book *book, const char *prefix)
{
    size_t n = 0;

    for (size_t i = 0; i < book->count; i++)
        n += begins(book->entries[i].token, book->entries[i].token_len, prefix);
    return n;
}

const struct book_entry *book_at(const struct book *book, size_t i)
{
    return i < book->count ? &book->entries[i] : NULL;
}
