/* mutate: what broken or hostile senders may make of a letter. Pure; the same number
 * gives the same changes everywhere, so that a finding can be looked at again. */
#ifndef SCENARIOS_MUTATE_H
#define SCENARIOS_MUTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A line of cleartext that stands in the body of a marked mutant. */
#define MUTANT_MARK "Cleartext-that-nobody-may-ever-store"

struct mutate {
    uint32_t state; /* of the generator; never 0 */
};

/* `number` of a run with that seed. */
struct mutate mutate_of(uint32_t seed, unsigned number);
/* 0..n-1; n > 0 */
unsigned mutate_below(struct mutate *m, unsigned n);

/* A copy of letter with one to four changes: bytes, cuts, moved text, header fields
 * folded, torn and doubled, delimiters where none belong, parts nested in parts, and in
 * `mark` (when true) MUTANT_MARK on a line of its own in the body. No NUL byte. Caller
 * frees. */
char *mutate_letter(struct mutate *m, const char *letter, bool mark);

/* The text as DATA wants it: a dot more where a line begins with one, CRLF at the end.
 * Caller frees. */
char *mutate_stuffed(const char *text);
/* The text as Postfix hands it on: every line ends with CRLF, and a CR elsewhere is a
 * blank (cleanup_replace_stray_cr_lf). Caller frees. */
char *mutate_received(const char *text);

#endif
