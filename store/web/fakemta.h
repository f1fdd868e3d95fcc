/* fakemta: an SMTP server for tests, with moods, in threads of this process. Reads as
 * strictly as Postfix: one command per line, DATA until the dot line. Anything
 * unexpected of its own ends the test program with a text. */
#ifndef WEB_FAKEMTA_H
#define WEB_FAKEMTA_H

#include <stddef.h>
#include <stdint.h>

enum fakemta_mood {
    FAKEMTA_ACCEPT,
    FAKEMTA_REFUSE_MESSAGE, /* "523 Encryption Needed" behind the dot */
    FAKEMTA_DEFER,          /* "451 4.7.1 DNS" behind the dot */
    FAKEMTA_BUSY,           /* 421 instead of a greeting */
    FAKEMTA_HANG_UP,        /* in the middle of the body */
    FAKEMTA_SLOW            /* reads the body at about 2 MB/s */
};
/* A recipient whose address begins with "nobody" is refused with 550 in any mood. */

struct fakemta_seen {
    unsigned sessions;
    unsigned messages; /* complete and accepted */
    unsigned cut;      /* DATA that ended without its dot */
    char from[300];    /* of the last MAIL, with parameters */
    unsigned rcpts;    /* accepted, of the last session */
    size_t bytes;      /* of the last message, as it came, without the dot line */
    uint64_t sum;      /* fakemta_sum() of them */
    unsigned strange;  /* lines that were no command we know */
};

/* Listens on 127.0.0.1; returns the port. Once per program. */
int fakemta_start(void);
void fakemta_mood(enum fakemta_mood mood);
struct fakemta_seen fakemta_seen(void);
uint64_t fakemta_sum(uint64_t sum, const char *data, size_t len); /* begin with 0 */

#endif
