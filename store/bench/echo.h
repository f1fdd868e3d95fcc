/* echo: the least that a service on a unix stream socket can cost, to compare with: one
 * thread, epoll, each line that begins with L is answered with the same bytes. */
#ifndef BENCH_ECHO_H
#define BENCH_ECHO_H

#include <stddef.h>
#include <sys/types.h>

/* Pinned as the caller is. Ended by SIGKILL, or with this program. */
pid_t echo_start(const char *path, const char *answer);
void echo_stop(pid_t pid);

#endif
