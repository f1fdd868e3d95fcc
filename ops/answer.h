/* answer: what a verb says with --json (docs/json.md): lines of JSON on stdout, of
 * which the last is the envelope with the verb's own answer in it; those before it are
 * events. One per process, as stdout is. Text from nodes may be any bytes: what is not
 * UTF-8 becomes "?". */
#ifndef OP_ANSWER_H
#define OP_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#define OP_ANSWER_VERSION 1
/* Notes and warnings in one envelope; more are dropped. */
#define OP_ANSWER_LINES_MAX 1000

/* verb: its name, NULL for none. With json, op_say() and its like are kept for the
 * envelope from here on. */
void op_answer_begin(const char *verb, bool json);
/* Since op_answer_begin(); 0 outside a verb. */
int64_t op_answer_elapsed_ms(void);
/* Is stdout JSON? */
bool op_answer_json(void);

/* The verb's own answer; takes it over. The last one counts. Without --json it is only
 * freed. */
void op_answer(json_t *data);
/* One line {"event": NAME, ...} at once; takes o over. */
void op_answer_event(const char *event, json_t *o);

/* Kept for the envelope; nothing without --json. The last error counts. */
void op_answer_note(const char *text);
void op_answer_warning(const char *text);
void op_answer_error(const char *text);

/* Prints the envelope and forgets all; nothing without --json. */
void op_answer_end(int exit_code);

/* A JSON string of any bytes; never NULL. */
json_t *op_answer_text(const char *text);

#endif
