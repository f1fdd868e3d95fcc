/* dkim: proves that a message was signed by the domain in its From (RFC 6376, 8301,
 * 8463; relay-spec.md 2.9.8). One struct per message; nothing is shared but the keys.
 *
 * Why not libopendkim: docs/filter-dkim.md. The rules beyond the RFC:
 * - d= must equal the From domain, ASCII case aside; a parent domain does not count.
 * - The first DKIM_SIGNATURES_MAX DKIM-Signature fields are looked at. Those of other
 *   domains cost neither a lookup nor a hash.
 * - rsa-sha256 and ed25519-sha256 only.
 * - Every From field must be covered by h=.
 * - x= past and t= ahead of now are tolerated for DKIM_CLOCK_SKEW_MS.
 * - A key that says t=y (testing) counts like any other, as upstream does: whether it
 *   fits proves the same, and a forgotten flag must not cost mail. */
#ifndef FILTER_DKIM_H
#define FILTER_DKIM_H

#include <stddef.h>

#include "dkim_keys.h"

#define DKIM_SIGNATURES_MAX 10
#define DKIM_CLOCK_SKEW_MS  300000
/* All header fields together, and their number. With more of either the message is
 * refused. */
#define DKIM_HEADERS_MAX 1048576
#define DKIM_FIELDS_MAX  2000
/* dkim_end asks for no further key once this much time went by. */
#define DKIM_END_MAX_MS 40000

struct dkim;

enum dkim_verdict {
    DKIM_PASS,
    DKIM_NONE, /* there is no DKIM-Signature field at all */
    DKIM_FAIL, /* proven: no signature can ever pass */
    DKIM_RETRY /* a key could not be asked for; nothing is proven */
};

struct dkim *dkim_new(void);
void dkim_free(struct dkim **d);

/* One header field, in the message's order: the name without colon, the value with
 * everything behind the colon, its leading blanks and folding included (lines may end
 * in CRLF or LF), without the final line end. Copied. */
void dkim_header(struct dkim *d, const char *name, size_t name_len, const char *value,
                 size_t value_len);

/* After the last header. from_domain: the domain of From; "" when there is none, which
 * no signature fits. */
void dkim_headers_end(struct dkim *d, const char *from_domain);

/* Body as it was before transport: no dots added, lines end in CRLF. Any chunks. */
void dkim_body(struct dkim *d, const void *data, size_t len);

/* After the last chunk; once. May wait for DNS: DKIM_END_MAX_MS plus one lookup at
 * most. *reason: a static text from a small set, fit for a counter's label. */
enum dkim_verdict dkim_end(struct dkim *d, struct dkim_keys *keys, const char **reason);

#endif
