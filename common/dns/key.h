/* key: the secret that a name server shares with who may change its zones (TSIG, RFC
 * 8945), from a file as tsig-keygen(8) and keymgr(8) write it:
 *
 *   key "portico" { algorithm hmac-sha256; secret "base64"; };
 *
 * or in Knot's spelling, "- id: portico", "algorithm: ...", "secret: ...". Comments
 * begin with # or //. */
#ifndef DNS_KEY_H
#define DNS_KEY_H

#include <stddef.h>

#include "common/err.h"

#define DNS_KEY_FILE_MAX 4096 /* bytes */

struct dns_key {
    char name[256];
    char algorithm[16]; /* "hmac-sha256": sha1, sha224, sha256, sha384 or sha512 */
    char secret[256];   /* base64; never logged */
};

/* Pure. kind WORLD; a secret is in no error text. */
CM_MUSTUSE int dns_key_parse(const char *text, size_t len, struct dns_key *key_r,
                             struct cm_err *err);
/* Refuses a file that others than its owner may read or write, or that is not the
 * user's own or root's. */
CM_MUSTUSE int dns_key_load(const char *path, struct dns_key *key_r,
                            struct cm_err *err);
void dns_key_wipe(struct dns_key *key);

#endif
