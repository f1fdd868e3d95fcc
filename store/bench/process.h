/* process: which core a process runs on, what it used, what it holds. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <sys/types.h>

#include "common/err.h"

/* On a machine with one core, all three are that core. */
enum process_core { CORE_SERVICE, CORE_OTHERS, CORE_ALL };

/* For this thread and what it starts from now on. */
void process_pin(enum process_core core);
unsigned process_cores(void); /* of this machine, as far as this program may use them */

double process_cpu_seconds(pid_t pid); /* of all its threads; 0 when it is gone */
/* Proportional set size with that of its children, MB (10^6 bytes). */
CM_MUSTUSE int process_pss_mb(pid_t pid, double *mb_r, struct cm_err *err);
/* Of its children alone. */
CM_MUSTUSE int process_pss_children_mb(pid_t pid, double *mb_r, struct cm_err *err);

#endif
