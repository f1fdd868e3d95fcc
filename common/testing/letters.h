/* letters: messages with the properties that a filter's tests need
 * (relay-spec.md 6.12), built here, and the pieces they are built of. CRLF lines; the
 * caller frees. For tests of any part; linked into no product. */
#ifndef LETTERS_H
#define LETTERS_H

#include <stddef.h>

enum letter {
    LETTER_ENCRYPTED, /* PGP/MIME with PKESK and SEIPD of nonsense, CRC, Autocrypt */
    LETTER_FAKE_ENCRYPTED,  /* text/plain around armour lines and "Hi!" */
    LETTER_LITERAL,         /* PGP/MIME shape, but a literal packet inside */
    LETTER_PLAIN,           /* text/plain */
    LETTER_MDN,             /* a read receipt in cleartext */
    LETTER_SETUP,           /* an Autocrypt setup message */
    LETTER_MAILER_DAEMON,   /* a bounce: From is MAILER-DAEMON@domain of `from` */
    LETTER_SECUREJOIN,      /* vc-request */
    LETTER_SECUREJOIN_FAKE, /* the same header, advertising in the body */
    LETTERS
};

const char *letter_name(enum letter letter);
/* from, to: addresses. id goes between the brackets of Message-ID. */
char *letter_text(enum letter letter, const char *from, const char *to, const char *id);

/* An encrypted letter around `armour`. */
char *letter_around(const char *from, const char *to, const char *id,
                    const char *armour);
/* An encrypted letter of about `bytes` bytes. */
char *letter_of_size(const char *from, const char *to, const char *id, size_t bytes);

/* Armour around binary packets: lines of 64 characters, a CRC line when crc is not NULL
 * ("=abcd"). */
char *letter_armour(const unsigned char *packets, size_t len, const char *crc);

/* PKESK, PKESK, SEIPD of `body` bytes of nonsense in one length, or in partial ones of
 * 512 and a rest. Caller frees. */
unsigned char *letter_packets(size_t body, int partial, size_t *len_r);

#endif
