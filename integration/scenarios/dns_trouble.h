/* dns_trouble: stands between the store's filter and the lab's resolver, at the
 * resolver's address, and makes trouble for names whose first label asks for it; all
 * else passes. An nft table of our own in node store leads the filter's questions over
 * UDP here, and nobody else's. */
#ifndef SCENARIOS_DNS_TROUBLE_H
#define SCENARIOS_DNS_TROUBLE_H

#include "common/err.h"

#include "stage.h"

#define DNS_TROUBLE_DROP "drop" /* first labels: no answer */
#define DNS_TROUBLE_FAIL "fail" /* SERVFAIL */
#define DNS_TROUBLE_LATE "late" /* the answer DNS_TROUBLE_LATE_MS later */

#define DNS_TROUBLE_LATE_MS 8000

struct dns_trouble;

/* NULL with err. The thread that answers is the caller's process's. */
struct dns_trouble *dns_trouble_start(struct stage *stage, struct cm_err *err);
/* From now on all passes. */
void dns_trouble_over(struct dns_trouble *trouble);
/* Questions for names with that first label, since the start. */
unsigned dns_trouble_asked(struct dns_trouble *trouble, const char *label);
void dns_trouble_stop(struct dns_trouble **trouble); /* accepts a pointer to NULL */
/* Takes the table away; also when there is none. */
CM_MUSTUSE int dns_trouble_back(struct stage *stage, struct cm_err *err);

#endif
