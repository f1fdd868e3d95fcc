/* verbkit: for tests that run a verb of chatops in their own process. */
#ifndef OP_VERBKIT_H
#define OP_VERBKIT_H

#include "common/err.h"

/* words: a command line, "chatops --config X gateway list", one blank between two. It
 * must end with status want, else the test fails. Returns what it said on stdout, of
 * which a copy is left in the file at out; caller frees. err: why it failed, when it
 * did. */
char *verbkit_say(const char *words, const char *out, int want, struct cm_err *err);

#endif
