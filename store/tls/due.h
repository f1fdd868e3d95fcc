/* due: is it time for another certificate? Pure. */
#ifndef TLS_DUE_H
#define TLS_DUE_H

#include <stddef.h>
#include <stdint.h>

#include "common/cert.h"

/* Why a new one has to be asked for, in a few words; NULL: not yet. cert: what the CA
 * gave last, NULL for nothing. Due are: none; not for this request's key, or not for
 * all names; a third of its life or less is left (RFC 8555 gives no figure; 30 of 90
 * days is what CAs advise). now: seconds since 1970. */
const char *due_why(const struct cm_cert *cert, const char *request_pem,
                    const char *const *names, size_t n, int64_t now);

#endif
