/* issuer: is a CA there, and what does it call itself in CAA records? */
#ifndef TLS_ISSUER_H
#define TLS_ISSUER_H

#include <stddef.h>

#include "common/err.h"

#define ISSUER_MAX 256

/* First of meta.caaIdentities in a directory (RFC 8555 7.1.1); "" when there is none,
 * or it is no host name. Returns its length. */
size_t issuer_of_directory(const char *json, char *out, size_t size);

/* Asks the CA; "" when it does not say. At most 10 s. */
void issuer_ask(const char *url, char *out, size_t size);

/* Does its directory answer? RETRY with the reason when not. At most 10 s. */
CM_MUSTUSE int issuer_there(const char *url, struct cm_err *err);

#endif
