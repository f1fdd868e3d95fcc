/* rules: may this address exist, may it be created with this password? Pure; the order
 * of the checks is that of relay-spec.md 2.2.3. */
#ifndef AUTH_RULES_H
#define AUTH_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define RULES_ADDR_MAX 320 /* bytes; RFC 5321: 64 + 1 + 255 */

struct rules {
    const char *domain; /* mail domain, or "[1.2.3.4]"; borrowed */
    int64_t password_min_length;
    int64_t username_min_length;
    int64_t username_max_length;
};

/* Names a mailbox of ours: ends in "@DOMAIN", something before it, and nothing that
 * would lead a path elsewhere. Checked for every lookup, before PostgreSQL is asked. */
bool rules_is_ours(const struct rules *rules, const char *addr);

/* 0, or -1 with the reason (kind REFUSE) fit for a log: it quotes neither argument. */
CM_MUSTUSE int rules_may_create(const struct rules *rules, const char *addr,
                                const char *password, struct cm_err *err);

/* Characters of UTF-8 text; a stray byte counts as one, as in a lossy decoding. */
int64_t rules_characters(const char *s);

#endif
