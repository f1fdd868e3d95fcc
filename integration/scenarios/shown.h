/* shown: the certificates that strangers are shown, judged by OpenSSL's own client in
 * node client, which knows nothing of our programs. */
#ifndef SCENARIOS_SHOWN_H
#define SCENARIOS_SHOWN_H

#include <stdint.h>

#include "common/err.h"

#include "stage.h"

#define SHOWN_PRINT 65
#define SHOWN_DOORS 9 /* of one address: six ports, HTTPS, IMAP and SMTP on 443 */

/* Trusted roots, PEM, for shown_same() from now on. */
CM_MUSTUSE int shown_trust(struct stage *stage, const char *pem, struct cm_err *err);
/* Forgets them. */
CM_MUSTUSE int shown_back(struct stage *stage, struct cm_err *err);

/* Every door of every address, v4 and v6, of both gateways (only != NULL: of that one)
 * shows the same certificate for `name`, with a chain that leads to the roots. print:
 * its SHA-256 in hex. */
CM_MUSTUSE int shown_same(struct stage *stage, const char *name, const char *only,
                          char print[SHOWN_PRINT], struct cm_err *err);
/* Asks until that one is shown everywhere. *ms_r (may be NULL): how long that took. */
CM_MUSTUSE int shown_until(struct stage *stage, const char *name, const char *only,
                           const char *print, int64_t limit_ms, int64_t *ms_r,
                           struct cm_err *err);

#endif
