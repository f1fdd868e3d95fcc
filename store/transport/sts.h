/* sts: MTA-STS records and policies (RFC 8461), which say by which hosts a domain's
 * mail must go. Pure.
 *
 * Limits: STS_TEXT_MAX bytes of policy, STS_MXS_MAX patterns; a policy over either is
 * no policy. */
#ifndef TRANSPORT_STS_H
#define TRANSPORT_STS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "common/err.h"

#define STS_TEXT_MAX  (64u << 10)
#define STS_MXS_MAX   32
#define STS_ID_MAX    33 /* with NUL */
#define STS_AGE_MAX_S 31557600

enum sts_mode { STS_NONE, STS_TESTING, STS_ENFORCE };

struct sts_policy {
    enum sts_mode mode;
    int64_t max_age_s;
    size_t mx_count;
    char mx[STS_MXS_MAX][DOMAIN_NAME_MAX]; /* "mx.example.org" or "*.example.org" */
};

/* The text of the TXT record at _mta-sts.DOMAIN. false: it is another kind of record,
 * or has no usable id. */
bool sts_record_parse(const char *text, char id[STS_ID_MAX]);
/* The file of https://mta-sts.DOMAIN/.well-known/mta-sts.txt. */
CM_MUSTUSE int sts_policy_parse(const char *text, size_t len, struct sts_policy *out,
                                struct cm_err *err);
/* Does a host match this pattern? "*." stands for exactly one label. */
bool sts_pattern_matches(const char *pattern, const char *host);

const char *sts_mode_name(enum sts_mode mode);

#endif
