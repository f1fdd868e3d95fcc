/* pair: a certificate chain and its key, as two files hold them: read, judged, and put
 * where the daemons read.
 *
 * The daemons' two files change together: they lie in a directory of their own, and a
 * symbolic link to it is replaced. Whoever opens one before and the other after that
 * instant has a key that does not fit only if the key changed. */
#ifndef TLS_PAIR_H
#define TLS_PAIR_H

#include <stdbool.h>
#include <stddef.h>

#include "common/cert.h"
#include "common/err.h"
#include "place.h"

#define TLS_PAIRS_KEPT 3 /* of those that were in use, the present one included */

struct tls_pair {
    char *cert; /* PEM */
    size_t cert_len;
    char *key; /* PEM; wiped when cleared */
    size_t key_len;
};

/* 1 read, 0 one of them is not there (err names it), -1. */
CM_MUSTUSE int tls_pair_read(const char *cert, const char *key, struct tls_pair *pair_r,
                             struct cm_err *err);
void tls_pair_clear(struct tls_pair *pair);
bool tls_pair_same(const struct tls_pair *a, const struct tls_pair *b);

/* May it take the place of `now` (NULL: of nothing)? REFUSE says why not:
 *   no certificate, or one that cannot be read; the key is not its own, or has a
 *   password; a chain out of order; expired or not valid yet; not for name; or no root
 *   of this machine is behind it while one is behind `now`, which is good today. */
CM_MUSTUSE int tls_pair_judge(const struct tls_pair *pair, const struct tls_pair *now,
                              const char *name, const struct cm_roots *roots,
                              struct cm_err *err);

/* Into a new directory, then the link. On failure the old pair is still in use. */
CM_MUSTUSE int tls_pair_put(const struct tls_place *place, const struct tls_pair *pair,
                            struct cm_err *err);

#endif
