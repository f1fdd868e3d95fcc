/* spf: may this address send mail of that domain? RFC 7208, as a receiver reads it.
 * Pure but for the caller's lookups.
 *
 * Limits are those of RFC 7208 4.6.4: ten terms that look something up, two of them
 * with no result, ten names of an MX. Of macros the letters d, o, h, i, v and s without
 * digits, and r; "ptr" never matches. */
#ifndef OP_SPF_H
#define OP_SPF_H

#include <stddef.h>

#include "resolve.h"

enum op_spf {
    OP_SPF_NONE,
    OP_SPF_NEUTRAL,
    OP_SPF_PASS,
    OP_SPF_FAIL,
    OP_SPF_SOFTFAIL,
    OP_SPF_TEMPERROR, /* a lookup was not answered */
    OP_SPF_PERMERROR  /* the record is wrong; receivers ignore it or refuse */
};

/* 0 with the records of that very type (name without final dot), -1 no answer. What is
 * in out is cleared by the caller of this. */
typedef int (*op_spf_ask)(const char *name, const char *type, struct op_answers *out,
                          void *ctx);

/* record: the text of domain's own SPF record, joined. why: for a permanent error, the
 * term and what is wrong with it; else "". */
enum op_spf op_spf_check(const char *record, const char *domain, const char *address,
                         op_spf_ask ask, void *ctx, char *why, size_t size);
const char *op_spf_name(enum op_spf result); /* "pass" */

#endif
