/* usual: what most DKIM tests begin with: keys, their records in a zone, a message of
 * example.org, and one call from "signed so" to "verdict". For cmocka programs. */
#ifndef FILTER_TESTING_USUAL_H
#define FILTER_TESTING_USUAL_H

#include "dkim.h"
#include "testing/checker.h"
#include "testing/signer.h"

#define RSA_NAME "r._domainkey.example.org"
#define ED_NAME  "e._domainkey.example.org"
#define MESSAGE                                                                        \
    "From: Alice  <alice@example.org>\r\nTo: bob@example.net\r\nTo: carl@example.net"  \
    "\r\nSubject: folded\r\n\tsubject \r\nX-Long : a  b\r\n\r\n"                       \
    "Hello  world \r\n\r\nBye\r\n\r\n\r\n"

/* Made once per program. */
struct us_keys {
    struct sg_key *rsa, *ed;
    struct sg_key *other; /* RSA, no record in the zone */
    struct sg_key *small; /* RSA of 1016 bits; the same */
    char *rsa_record, *ed_record;
};
extern struct us_keys us;
int us_begin(void **state); /* group set-up and tear-down of cmocka */
int us_end(void **state);

struct sg_how us_by(const struct sg_key *key); /* relaxed/relaxed, selector e or r */
struct ck_zone us_zone(void);
/* t with the first `old` replaced; both stay the caller's. */
struct sg_text us_replaced(struct sg_text t, const char *old, const char *new);

enum dkim_verdict us_check(struct ck_zone *z, struct sg_text t, const char **reason);

/* Fails the test, naming the line, unless verdict and reason are these. */
void us_expect(int line, struct ck_zone *z, struct sg_text t, enum dkim_verdict want,
               const char *why);
#define assert_verdict(z, t, want, why) us_expect(__LINE__, z, t, want, why)

/* MESSAGE signed so, in the usual zone. */
void us_signed_is(struct sg_how how, enum dkim_verdict want, const char *why);

#endif
