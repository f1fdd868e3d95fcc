/* state: what chatmail-tls did last, as JSON for `chatops status` and for people:
 *
 *   {"mode": "acme", "at": 1795765911, "problem": "", "temporary": false,
 *    "subject": "chat.example.org", "issuer": "...", "serial": "...",
 *    "not_after": 1803541911, "sha256": "..."}
 *
 * problem: why what was offered last is not in use, or which daemon was not told; ""
 * when all is well. The rest is about the pair in use. Times are seconds since 1970.
 * The file is world-readable and has no secret. */
#ifndef TLS_STATE_H
#define TLS_STATE_H

#include "common/cert.h"
#include "common/err.h"
#include "pair.h"

/* JSON on one line. now: the pair in use; NULL: none. Caller frees. */
char *tls_state_text(const struct tls_place *place, const struct tls_pair *now,
                     const char *problem, const struct cm_roots *roots);
/* Replaces the file. */
CM_MUSTUSE int tls_state_write(const struct tls_place *place,
                               const struct tls_pair *now, const char *problem,
                               const struct cm_roots *roots, struct cm_err *err);

#endif
