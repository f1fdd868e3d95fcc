/* log: lines of the nodes' journals, as `journalctl -o short-unix` prints them. Pure
 * part, for tests. */
#ifndef OP_LOG_H
#define OP_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* Lines that are asked of one node, unless --follow; when there are more, the last. */
#define OP_LOG_LINES 5000

struct op_log_line {
    int64_t time_us;   /* since 1970 */
    const char *node;  /* borrowed */
    const char *ident; /* "postfix/smtpd"; points into the text that was split */
    const char *text;
    size_t order; /* as they came */
};

struct op_log {
    struct op_log_line *lines;
    size_t count, cap;
};

/* One line, which is written into. A line that goes on from the one before, or is none,
 * takes the time of *last. */
void op_log_split(char *line, const char *node, struct op_log_line *last,
                  struct op_log_line *line_r);
/* All lines of a text, which must live as long as the log. */
void op_log_add(struct op_log *log, const char *node, char *text);
/* By time; of two at one time the one that came first. */
void op_log_sort(struct op_log *log);
void op_log_clear(struct op_log *log);

/* What --since means to journalctl: "15m" is "-900 s", a moment stays. NULL (REFUSE)
 * for what could be an option. Caller frees. */
char *op_log_since(const char *word, struct cm_err *err);

#endif
