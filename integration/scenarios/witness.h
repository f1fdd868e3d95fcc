/* witness: whether a message may pass the filter, said by somebody else. Written apart
 * from store/filter and sharing no code with it: slow, with the whole text at hand, and
 * strict, so that an error of one of the two shows as a difference.
 *
 * Texts as Postfix hands them on: see mutate_received(). No NUL bytes. */
#ifndef SCENARIOS_WITNESS_H
#define SCENARIOS_WITNESS_H

#include <stdbool.h>

/* docs/filter.md, "What is encrypted". Else *why_r is a static text. incoming: with
 * what is let through of strangers only. */
bool witness_encrypted(const char *text, bool incoming, const char **why_r);

/* The cleartext that may pass: a securejoin request; and from strangers a report of
 * a mailer-daemon. */
bool witness_excepted(const char *text, bool incoming);

#endif
