/* enrol: /enrol/script, /enrol/package and /enrol/join, for a machine that was invited
 * to be a gateway (`chatops gateway invite`).
 *
 * It shows its token (common/enrol.h) in a header. script: what it shall run, from
 * PostgreSQL. package?SHA256: the file ENROL_FILES/SHA256.deb, which nginx sends
 * (X-Accel-Redirect). join, POST: its WireGuard key, a line feed, and what "ip -o addr"
 * says; it then waits in PostgreSQL to be accepted by the operator.
 *
 * 404 without a good token, 409 when another machine took it, 503 while PostgreSQL is
 * away; the text says so. Limits: ENROL_BODY_MAX bytes. */
#ifndef WEB_ENROL_H
#define WEB_ENROL_H

#include "conn.h"

#define ENROL_BODY_MAX 16384
#define ENROL_INSIDE   "/enrol-package/" /* nginx's name of the folder */

/* The routes' functions; x->site is a struct site. */
void enrol_field(struct exchange *x, const char *name, const char *value);
void enrol_body(struct exchange *x, const char *data, size_t len);
void enrol_script_end(struct exchange *x);
void enrol_package_end(struct exchange *x);
void enrol_join_end(struct exchange *x);
void enrol_gone(struct exchange *x);

#endif
