/* imap: a small IMAP client (RFC 3501), enough to log in and to count what is there.
 *
 * The port says how TLS is done: 993 from the first byte, 443 from the first byte with
 * ALPN "imap", 143 by STARTTLS. */
#ifndef PROBE_IMAP_H
#define PROBE_IMAP_H

#include <stddef.h>

#include "common/err.h"
#include "probe/wire.h"

/* What a login was answered. */
enum imap_verdict {
    IMAP_IN,        /* logged in */
    IMAP_REFUSED,   /* "wrong password": AUTHENTICATIONFAILED, AUTHORIZATIONFAILED */
    IMAP_TEMPORARY, /* UNAVAILABLE: come again */
    IMAP_OTHER,     /* any other NO or BAD */
};

/* From the text behind "TAG ", such as "NO [UNAVAILABLE] Temporary ...". */
enum imap_verdict imap_judge(const char *tagged);
const char *imap_verdict_name(enum imap_verdict verdict);

struct imap;

struct imap *imap_open(const struct wire_to *to, struct cm_err *err);
void imap_close(struct imap **imap);
struct wire *imap_wire(struct imap *imap); /* borrowed */
const char *imap_local(const struct imap *imap);

/* Returns 0 when an answer came. text: at least 256 bytes, the answer's text; may be
 * NULL. */
CM_MUSTUSE int imap_login(struct imap *imap, const char *user, const char *password,
                          enum imap_verdict *verdict_r, char *text, struct cm_err *err);

/* Sends a command and gives each untagged line (and each line of a literal) to `each`,
 * which may be NULL. Anything but OK is an error with its text. At most 200 000 lines.
 */
CM_MUSTUSE int imap_command(struct imap *imap, const char *command,
                            void (*each)(const char *line, void *ctx), void *ctx,
                            struct cm_err *err);

/* IDLE from here on; SELECT comes before. */
CM_MUSTUSE int imap_idle(struct imap *imap, struct cm_err *err);
/* In IDLE: 1 a message was announced, 0 nothing within limit_ms, -1 the connection
 * ended, or said something else. */
CM_MUSTUSE int imap_idle_wait(struct imap *imap, int64_t limit_ms, struct cm_err *err);
/* Ends IDLE. */
CM_MUSTUSE int imap_done(struct imap *imap, struct cm_err *err);

/* SELECT INBOX, then every Message-ID in it, without its brackets. */
CM_MUSTUSE int imap_message_ids(struct imap *imap,
                                void (*each)(const char *id, void *ctx), void *ctx,
                                struct cm_err *err);

#endif
