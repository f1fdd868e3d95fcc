/* docs_table: every command of README.md, docs/ and the man pages' examples, and how
 * the lab runs it. test_docs_table reads the documents and fails for one that is
 * missing here, or stands in none of them any more; scenario docs_commands runs the
 * rows from top to bottom. */
#ifndef SCENARIOS_DOCS_TABLE_H
#define SCENARIOS_DOCS_TABLE_H

#include <stdbool.h>

struct docs_command {
    const char *doc;  /* as the document has it, without comment; NULL: only undoes */
    const char *run;  /* what is typed in the lab instead; NULL: the same */
    const char *says; /* must be in what it says; NULL: anything */
    bool slow;        /* left out when the stage is quick */
};

extern const struct docs_command docs_commands[]; /* ended by both being NULL */

/* What the tests themselves are, or stand on. */
struct docs_elsewhere {
    const char *doc;
    const char *where; /* "scenario NAME", or in words */
};

extern const struct docs_elsewhere docs_elsewhere[]; /* ended by doc == NULL */

#endif
