/* server: coturn as a child, which dies with us. */
#ifndef TURN_SERVER_H
#define TURN_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"

/* Returns its process, -1 with err. One that cannot be executed ends with status 127.
 */
CM_MUSTUSE pid_t server_start(const char *program, const char *conf,
                              struct cm_err *err);
/* Has it ended? Then *status_r is what waitpid(2) says, and the process is gone. */
bool server_ended(pid_t pid, int *status_r);
/* Asks it to end, makes it end after SERVER_END_MS, and waits for that. */
void server_end(pid_t pid);

#define SERVER_END_MS 2000

#endif
