/* checker: hands whole messages to the verifier, with key records from a table instead
 * of DNS. */
#ifndef FILTER_TESTING_CHECKER_H
#define FILTER_TESTING_CHECKER_H

#include <stddef.h>

#include "dkim.h"

#define CK_NAMES_MAX 16

struct ck_zone {
    struct {
        const char *name;
        const char *record[4]; /* at most DKIM_RECORDS_MAX are handed on */
        int result;            /* 1, 0 or -1, as dkim_dns_txt */
        int64_t ttl_s;
        unsigned asked;
    } row[CK_NAMES_MAX];
    unsigned count;
    unsigned asked; /* in all, names that are not there included */
};

/* Sets the first record of a name; NULL: there is none (0) or trouble (-1). */
void ck_set(struct ck_zone *z, const char *name, const char *record, int result);
struct dkim_keys *ck_keys(struct ck_zone *z);

/* Splits the message at its empty line and feeds it; chunk: bytes of body at a time, 0:
 * all at once. keys may be NULL where no lookup is expected. */
enum dkim_verdict ck_verify(const char *message, size_t len, const char *from_domain,
                            struct dkim_keys *keys, size_t chunk, const char **reason);

#endif
