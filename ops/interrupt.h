/* interrupt: Ctrl-C for verbs that have something to finish first. For the whole
 * process. */
#ifndef OP_INTERRUPT_H
#define OP_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

/* From now on the first SIGINT or SIGTERM only prints text (static, with its LF) and
 * sets what is returned; the second ends the program with status 130 at once. */
const volatile sig_atomic_t *op_interrupt_catch(const char *text);
bool op_interrupted(void);

#endif
