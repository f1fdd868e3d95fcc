/* judge: a whole message through verdict, for what has no milter before it: tests, fuzz
 * target, bench. */
#ifndef FILTER_JUDGE_H
#define FILTER_JUDGE_H

#include <stddef.h>

#include "verdict.h"

/* The body goes in in chunks of `chunk` bytes, as from libmilter. Line ends CRLF or LF.
 * A header that cannot be read ends like one without a body. */
void judge_message(struct verdict *v, enum verdict_side side, const char *text,
                   size_t len, size_t chunk);

#endif
