/* script: the Lua that Redis runs for queue.c. */
#ifndef PUSH_SCRIPT_H
#define PUSH_SCRIPT_H

extern const char script_add[];
extern const char script_take[];
extern const char script_sent[];
extern const char script_failed[];
extern const char script_gone[];
extern const char script_forget[];
extern const char script_hurry[];
extern const char script_figures[];

#endif
