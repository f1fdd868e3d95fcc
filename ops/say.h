/* say: what the operator sees. Results on stdout, warnings and errors on stderr; colour
 * only where the stream is a terminal and NO_COLOR is empty. */
#ifndef OP_SAY_H
#define OP_SAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"

enum op_colour { OP_PLAIN, OP_GREEN, OP_RED, OP_YELLOW };

/* Makes a text from elsewhere fit for a terminal and for JSON: what is not printable
 * ASCII, nor a line feed, becomes '?'. */
void op_plain_text(char *text);

/* May escape sequences be written to this stream? */
bool op_say_colour(FILE *stream);

/* Lines on stdout, the last newline is added. One that is longer than 80 columns is
 * wrapped, wherever it goes. */
void op_say(enum op_colour colour, const char *fmt, ...) CM_PRINTF(2, 3);
/* The same for what is copied from there, such as records and links: never wrapped. */
void op_print(enum op_colour colour, const char *text);
/* text behind head, wrapped at 79 columns; further lines are indented by its length. */
void op_say_wrapped(enum op_colour colour, const char *head, const char *text);
/* What is being waited for: on a terminal in place on the present line, elsewhere a
 * line every ten seconds. */
void op_progress(int64_t elapsed_ms, const char *fmt, ...) CM_PRINTF(2, 3);
/* The step under way; on a terminal its line stands there until the next, with the time
 * behind it once that is a second. "": none. */
void op_busy(const char *fmt, ...) CM_PRINTF(1, 2);
/* The step is done: its line is gone. */
void op_busy_end(void);
/* Called each second while something is waited for: on a terminal the line of the step,
 * or "what ...", and the time; elsewhere a line on stderr every ten seconds. */
void op_wait_tick(int64_t elapsed_ms, const char *what);
/* The same before a question that blocks, with the time since the verb began; nothing
 * in its first second. */
void op_wait_note(const char *what);
/* Ticks and notes say nothing: the screen is drawn by somebody else. */
void op_wait_quiet(bool quiet);
/* It has come: the terminal is as before. */
void op_wait_end(void);
/* "chatops: warning: ..." on stderr. */
void op_warn(const char *fmt, ...) CM_PRINTF(1, 2);
/* "chatops: ..." on stderr. */
void op_complain(const char *fmt, ...) CM_PRINTF(1, 2);

#endif
