/* address: envelope addresses and where they lead (relay-spec.md 2.9.2, 6.7). Pure. */
#ifndef TRANSPORT_ADDRESS_H
#define TRANSPORT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define ADDRESS_MAX     320 /* bytes of an address, with NUL */
#define DOMAIN_NAME_MAX 256 /* with NUL */

struct domain {
    /* "example.org", or of a literal the bare address: "192.0.2.1", "2001:db8::1". */
    char name[DOMAIN_NAME_MAX];
    bool literal;
};

/* The address in what stands behind "MAIL FROM:" or "RCPT TO:" (or in "Name <a@b>"), in
 * small letters, without angle brackets; what follows it is not looked at. "<>" gives
 * "". -1 (REFUSE): none, too long, or with blanks or control bytes in it. */
CM_MUSTUSE int address_extract(const char *text, size_t len, char out[ADDRESS_MAX],
                               struct cm_err *err);

/* -1 (REFUSE) with an SMTP reply as text: "553 Invalid email address: ..." or "501
 * Invalid domain name". */
CM_MUSTUSE int address_domain(const char *address, struct domain *out,
                              struct cm_err *err);

/* A host name as DNS may give one: letters, digits, '-', '_', labels of 1 to 63. */
bool address_is_hostname(const char *name);

#endif
