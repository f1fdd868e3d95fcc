/* base64: the alphabet (RFC 4648, 4) as a table, inline because each byte of a message
 * goes through it. */
#ifndef FILTER_BASE64_H
#define FILTER_BASE64_H

/* 0..63, or BASE64_NONE. */
#define BASE64_NONE 0x80u
extern const unsigned char base64_value[256];

#endif
