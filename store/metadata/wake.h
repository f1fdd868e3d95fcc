/* wake: tells chatmail-push that an address has a new message.
 *
 * One datagram, the address, to the unix socket of chatmail-push. It is a doorbell and
 * no queue: nothing is kept here, and where no push service listens nobody is told. */
#ifndef METADATA_WAKE_H
#define METADATA_WAKE_H

#include "common/err.h"

struct wake;

/* path is copied. */
struct wake *wake_new(const char *path);
void wake_free(struct wake **wake);

/* Never blocks. Returns 1 told, 0 nobody listens there (no socket, or no one behind
 * it), -1 (RETRY) its queue is full or another trouble. */
CM_MUSTUSE int wake_push(struct wake *wake, const char *addr, struct cm_err *err);

#endif
