/* dkim_tags: the tag lists of signatures and key records, "name=value; name=value"
 * (RFC 6376 3.2). Pure, nothing is copied: spans point into the text that was parsed.
 */
#ifndef FILTER_DKIM_TAGS_H
#define FILTER_DKIM_TAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DKIM_TAGS_MAX 64 /* a list with more is malformed */

struct dkim_span {
    const char *p;
    size_t len;
};

struct dkim_tag {
    struct dkim_span name;
    struct dkim_span value; /* without the blanks and line ends around it */
    struct dkim_span raw;   /* all between '=' and ';' */
};

struct dkim_tags {
    struct dkim_tag tag[DKIM_TAGS_MAX];
    unsigned count;
};

/* False: not a tag list, a name twice, or too many tags. Names are case-sensitive.
 * Bytes over 127 are allowed in values, control bytes are not. */
bool dkim_tags_parse(struct dkim_tags *tags, const char *text, size_t len);
/* The same, but what is no "name=value" is passed over: a damaged word elsewhere makes
 * a key no less that key. */
bool dkim_tags_parse_loose(struct dkim_tags *tags, const char *text, size_t len);
const struct dkim_tag *dkim_tags_find(const struct dkim_tags *tags, const char *name);

/* The next item of a colon-separated list, trimmed; false at its end. An empty list has
 * one empty item. Start with *rest = the value. */
bool dkim_list_next(struct dkim_span *rest, struct dkim_span *item);

struct dkim_span dkim_trim(struct dkim_span s); /* blanks and line ends at both ends */
bool dkim_span_is(struct dkim_span s, const char *text); /* ASCII case aside */

/* Digits only; more than fits becomes INT64_MAX. */
bool dkim_number(struct dkim_span s, int64_t *out);

/* base64 with blanks and line ends anywhere; padding may be missing. False when
 * another byte occurs or more than cap bytes come out. out == s.p is not allowed. */
bool dkim_base64(struct dkim_span s, unsigned char *out, size_t cap, size_t *len);

#endif
