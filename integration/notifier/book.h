/* book: what the notification service was asked, and how it is told to answer. Pure.
 *
 * A mood belongs to all tokens that begin with a prefix; the longest prefix decides,
 * and the empty one is for all others (200 at first). */
#ifndef NOTIFIER_BOOK_H
#define NOTIFIER_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define BOOK_MOODS_MAX  64
#define BOOK_PREFIX_MAX 128
#define BOOK_MAX        1000000 /* requests kept; later ones are counted only */

enum mood_kind {
    MOOD_STATUS, /* answers, perhaps late */
    MOOD_SILENT, /* takes the request and never answers */
    MOOD_REFUSE  /* resets the connection; for all tokens: does not even listen */
};

struct mood {
    enum mood_kind kind;
    int status;       /* STATUS: 100..599 */
    int64_t after_ms; /* STATUS: waits so long first */
};

/* "410", "slow:1500", "slow:1500:500", "silent", "refuse". */
CM_MUSTUSE int mood_parse(const char *text, struct mood *mood_r, struct cm_err *err);
void mood_text(const struct mood *mood, char out[32]);

struct book_entry {
    int64_t at_ms;       /* wall clock, when the request was whole */
    uint64_t connection; /* from 1, as they were accepted */
    int32_t stream;      /* HTTP/2: its number; HTTP/1.1: from 1 on each connection */
    bool h2;
    int status; /* 0: the mood gave no answer */
    char *token;
    size_t token_len;
};

struct book;

struct book *book_new(void);
void book_free(struct book **book);

CM_MUSTUSE int book_set_mood(struct book *book, const char *prefix,
                             const struct mood *mood, struct cm_err *err);
void book_clear_moods(struct book *book);
const struct mood *book_mood(const struct book *book, const char *token, size_t len);
/* The i-th one and its prefix; NULL after the last. The first has the empty prefix. */
const struct mood *book_mood_at(const struct book *book, size_t i,
                                const char **prefix_r);

/* The token is copied. */
void book_add(struct book *book, const struct book_entry *entry);
void book_forget(struct book *book); /* all entries, not the moods */
uint64_t book_total(const struct book *book);
size_t book_count(const struct book *book, const char *prefix);
/* NULL after the last. */
const struct book_entry *book_at(const struct book *book, size_t i);

#endif
