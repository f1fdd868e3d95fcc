/* sasl: relays Dovecot's auth client protocol between Postfix and Dovecot.
 *
 * Why it exists: Postfix 3.7 turns Dovecot's temporary failure into 535, "wrong
 * password", and clients then ask their users for another one. When a reply FAIL
 * carries the field "temp" (or "code=temp_fail"), the connection to Postfix is closed
 * instead of relaying it; Postfix then answers 454 4.7.0 "Temporary authentication
 * failure". Everything else passes byte for byte.
 *
 * Whole lines only, at most SASL_LINE_MAX (Dovecot's own limit); a longer one closes.
 * While one side does not take its bytes the other is not read. When Dovecot's socket
 * is away a new connection waits SASL_CONNECT_MS for it, then closes. Lines hold
 * passwords: they are wiped and never logged. */
#ifndef AUTH_SASL_H
#define AUTH_SASL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/loop.h"

#define SASL_LINE_MAX   8192
#define SASL_MAX_CONNS  4096
#define SASL_CONNECT_MS 2000

struct sasl;

struct sasl *sasl_new(struct cm_loop *loop, const char *upstream_path);
void sasl_free(struct sasl **sasl);
void sasl_adopt(struct sasl *sasl, int fd); /* takes ownership of fd */
bool sasl_full(const struct sasl *sasl);

/* A reply line (without LF) that reports a temporary failure. */
bool sasl_is_tempfail(const char *line, size_t len);

#endif
