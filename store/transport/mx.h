/* mx: in which order the mail servers of a domain are tried (RFC 5321 5.1, RFC 7505,
 * relay-spec.md 2.9.9 steps 3 and 4). Pure. */
#ifndef TRANSPORT_MX_H
#define TRANSPORT_MX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"

#define MX_HOSTS_MAX 5 /* that are tried; records beyond the best five are not used */

struct mx {
    uint16_t preference;
    char host[DOMAIN_NAME_MAX]; /* "." is the null MX */
};

/* By preference, then by name; without doubles, null MXs and what is no host name.
 * Returns how many of list[0..n) are left, at most MX_HOSTS_MAX. */
size_t mx_sort(struct mx *list, size_t n);

/* The domain says that it takes no mail: nothing but "." in its records. */
bool mx_is_null(const struct mx *list, size_t n);

#endif
