/* dkim_flaw: why a signature does not count. Ordered: a signature that came farther has
 * the greater flaw, and the message is refused with the greatest. */
#ifndef FILTER_DKIM_FLAW_H
#define FILTER_DKIM_FLAW_H

enum dkim_flaw {
    DKIM_FLAW_NONE,
    DKIM_FLAW_FOREIGN, /* d= is another domain, or cannot be read */
    DKIM_FLAW_SYNTAX,
    DKIM_FLAW_ALGORITHM,
    DKIM_FLAW_FROM,     /* a From field is not covered */
    DKIM_FLAW_IDENTITY, /* i= is not in d= */
    DKIM_FLAW_EXPIRED,
    DKIM_FLAW_FUTURE,
    DKIM_FLAW_BODY,
    DKIM_FLAW_NO_KEY,
    DKIM_FLAW_KEY, /* record unreadable, or for another purpose or algorithm */
    DKIM_FLAW_KEY_SIZE,
    DKIM_FLAW_REVOKED,
    DKIM_FLAW_STRICT,    /* the key says t=s and i= is not d= */
    DKIM_FLAW_SIGNATURE, /* it does not fit the key */
    DKIM_FLAW_COUNT
};

const char *dkim_flaw_text(enum dkim_flaw flaw);

#endif
