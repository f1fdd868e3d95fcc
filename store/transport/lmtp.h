/* lmtp: what an LMTP client says (RFC 2033, relay-spec.md 2.9.1), as commands and as
 * message data, in pieces of any size. Pure.
 *
 * The message is passed on in its transmitted form: leading dots stay doubled, the
 * final dot line is not part of it. */
#ifndef TRANSPORT_LMTP_H
#define TRANSPORT_LMTP_H

#include <stdbool.h>
#include <stddef.h>

#define LMTP_LINE_MAX 2048 /* bytes of a command line with its end; longer: error */

enum lmtp_verb {
    LMTP_LHLO,
    LMTP_HELO,
    LMTP_MAIL,
    LMTP_RCPT,
    LMTP_DATA,
    LMTP_RSET,
    LMTP_NOOP,
    LMTP_VRFY,
    LMTP_QUIT,
    LMTP_UNKNOWN
};

struct lmtp_command {
    enum lmtp_verb verb;
    const char *rest; /* behind the verb (MAIL, RCPT: behind the colon), not ended */
    size_t rest_len;
};

/* line: without CRLF. */
void lmtp_command_parse(const char *line, size_t len, struct lmtp_command *out);

/* Finds the end of message data. Zero initialise for each message. What may be the
 * final dot line is held back until the next byte says so. */
struct lmtp_data {
    enum { LMTP_AT_START, LMTP_AT_TEXT, LMTP_AT_CR, LMTP_AT_DOT, LMTP_AT_DOT_CR } at;
    bool bare; /* an LF without CR was seen: never pass this message on */
};

/* Called for each run of message bytes, in order. */
typedef void (*lmtp_data_cb)(const char *data, size_t len, void *ctx);

/* true: the final dot was read, at *used_r bytes; false: all read, more is to come. */
bool lmtp_data_feed(struct lmtp_data *d, const char *data, size_t len, size_t *used_r,
                    lmtp_data_cb cb, void *ctx);

#endif
