/* verb: one call of chatops in node operator, beside the cluster's chatmail.ini, and
 * what holds for the output of all of them (docs/json.md, docs/operations.md). */
#ifndef SCENARIOS_VERB_H
#define SCENARIOS_VERB_H

#include <stdbool.h>

#include <jansson.h>

#include "common/err.h"

#include "stage.h"

#define VERB_WIDTH 80

/* words with --json must end with that status. Each line on standard output must be an
 * object, the last one the envelope of that verb (NULL: a line that is not understood),
 * those before it events. *data_r (may be NULL): its data, released by the caller;
 * *lines_r (may be NULL): all that was said, freed by the caller. */
CM_MUSTUSE int verb_json(struct stage *stage, const char *verb, const char *words,
                         int status, json_t **data_r, char **lines_r,
                         struct cm_err *err);

/* Without a terminal: that status, no control character, no line of the results past
 * VERB_WIDTH columns but DNS records, one line for each error. *said_r (may be NULL) as
 * above. */
CM_MUSTUSE int verb_plain(struct stage *stage, const char *words, int status,
                          char **said_r, struct cm_err *err);

/* On a terminal of 80 columns: that status, no line past them, colours when asked for
 * and none with NO_COLOR. */
CM_MUSTUSE int verb_terminal(struct stage *stage, const char *words, int status,
                             struct cm_err *err);

/* The pure parts. 0, or what is wrong with it. */
CM_MUSTUSE int verb_check_lines(const char *said, const char *verb, int status,
                                json_t **data_r, struct cm_err *err);
CM_MUSTUSE int verb_check_plain(const char *said, struct cm_err *err);
/* escapes_r: how many escape sequences set a colour. */
CM_MUSTUSE int verb_check_terminal(const char *said, int *escapes_r,
                                   struct cm_err *err);

#endif
