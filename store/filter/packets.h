/* packets: the framing of an OpenPGP message (RFC 9580, 4.2), streaming, bodies unread.
 *
 * What counts as encrypted (relay-spec.md 2.9.5): any number of session-key packets
 * (tag 1 or 3), then exactly one SEIPD (tag 18, any version), then nothing. Current and
 * legacy format, partial lengths; a legacy packet of indeterminate length is refused.
 */
#ifndef FILTER_PACKETS_H
#define FILTER_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum packets_state {
    PACKETS_TAG,      /* between packets */
    PACKETS_LENGTH,   /* first byte of a length of the current format */
    PACKETS_LENGTH_2, /* its second byte */
    PACKETS_NUMBER,   /* big-endian bytes of a length */
    PACKETS_BODY,
    PACKETS_BAD
};

struct packets {
    enum packets_state state;
    unsigned tag;    /* of the packet under way, or of the last one; 0: none */
    uint64_t length; /* PACKETS_BODY: bytes that are left */
    unsigned need;   /* PACKETS_NUMBER: bytes that are left */
    bool partial;    /* another length follows the body */
};

void packets_init(struct packets *p);
/* False when this is none of ours, whatever follows. */
bool packets_feed(struct packets *p, const unsigned char *data, size_t len);
/* So many bytes may come next that nobody needs to look at; then packets_skip() does
 * for them. */
uint64_t packets_skippable(const struct packets *p);
void packets_skip(struct packets *p, uint64_t n);
/* Nothing follows: was it an encrypted message? */
bool packets_end(const struct packets *p);

#endif
