/* smtpdata: is this text valid as SMTP DATA, in the form in which it travels?
 *
 * relay-spec.md 2.9.3: it ends with CRLF, every CR is followed by LF, every LF comes
 * behind a CR, and no line is a lone dot (so a relayed copy cannot end early). The
 * final dot line is not part of it; leading dots stay doubled. Streaming, in any
 * chunking; a few bytes of state, nothing of the text is kept. */
#ifndef CM_SMTPDATA_H
#define CM_SMTPDATA_H

#include <stdbool.h>
#include <stddef.h>

enum cm_smtpdata_state {
    CM_SMTPDATA_LINE_START, /* behind CRLF, or nothing came yet */
    CM_SMTPDATA_DOT,        /* a dot that began its line */
    CM_SMTPDATA_DOT_CR,     /* and a CR behind it: only a lone dot can follow */
    CM_SMTPDATA_MIDDLE,     /* inside a line */
    CM_SMTPDATA_CR,
    CM_SMTPDATA_BAD
};

struct cm_smtpdata {
    enum cm_smtpdata_state state;
    bool some; /* something came */
};

void cm_smtpdata_init(struct cm_smtpdata *d);
/* False as soon as nothing that may follow can make it valid. */
bool cm_smtpdata_feed(struct cm_smtpdata *d, const void *data, size_t len);
/* Is what was fed, as a whole, valid? */
bool cm_smtpdata_end(const struct cm_smtpdata *d);

#endif
