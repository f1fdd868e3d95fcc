/* milter: Postfix' questions, through libmilter, which stays behind this one file.
 *
 * libmilter runs its own accept loop and a thread per connection, so it has a thread of
 * its own beside the service's loop (main.c says why). */
#ifndef FILTER_MILTER_H
#define FILTER_MILTER_H

#include "common/err.h"

#include "filter.h"

/* Takes the listening socket `fd` (duplicated) and serves on threads. Once in a
 * process. filter must live until the process ends. */
CM_MUSTUSE int milter_start(struct filter *filter, int fd, struct cm_err *err);
/* No new connections: they wait in the backlog of systemd's socket. Those there are go
 * on. */
void milter_stop(void);

#endif
