/* log: one line per event, "event=NAME key=value ...", on stderr for the journal.
 *
 * Values with blanks, quotes, '=' or control bytes are quoted and escaped, so that a
 * line stays a line. Never give it a password, token, client address or message
 * subject. A line starts with the syslog priority "<6>" when stderr is the journal,
 * else with the program's name. It is cut at 4 KiB and ends in "..." then. An event is
 * written at most 20 times in 10 s; its next line after that says "suppressed=N".
 * Sentences of cm_log_text are never suppressed. Any thread may log. */
#ifndef CM_LOG_H
#define CM_LOG_H

#include <stdbool.h>

#include "common/err.h"

enum cm_log_level { CM_LOG_DEBUG, CM_LOG_INFO, CM_LOG_WARNING, CM_LOG_ERROR };

void cm_log_init(const char *program, enum cm_log_level lowest);

/* cm_log(CM_LOG_INFO, "epoch_applied", "epoch", "17", "mode", "active", NULL) :
 * pairs of const char *; a NULL key ends the list; a NULL value prints as "-". */
void cm_log(enum cm_log_level level, const char *event, ...) __attribute__((sentinel));

/* A plain sentence, for the texts that counters match (relay-spec.md 3.9). */
void cm_log_text(enum cm_log_level level, const char *fmt, ...) CM_PRINTF(2, 3);

/* What a program stands on came or went: event=WHAT_up; or, as an error,
 * event=WHAT_down reason=... effect=... */
void cm_log_state(const char *what, bool up, const char *reason, const char *effect);

/* The line for an error value: event=NAME kind=... reason="..." */
void cm_log_err(enum cm_log_level level, const char *event, const struct cm_err *err);

/* Tests: lines go to this callback instead of stderr; NULL puts stderr back. */
void cm_log_capture(void (*cb)(const char *line, void *ctx), void *ctx);

#endif
