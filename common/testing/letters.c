#include "letters.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "common/mem.h"

#define TEXT_MAX (256u << 20)
#define PARTIAL  512

static const char *const names[LETTERS] = {
    [LETTER_ENCRYPTED] = "encrypted",
    [LETTER_FAKE_ENCRYPTED] = "fake-encrypted",
    [LETTER_LITERAL] = "literal",
    [LETTER_PLAIN] = "plain",
    [LETTER_MDN] = "mdn",
    [LETTER_SETUP] = "asm",
    [LETTER_MAILER_DAEMON] = "mailer-daemon",
    [LETTER_SECUREJOIN] = "securejoin-vc",
    [LETTER_SECUREJOIN_FAKE] = "securejoin-vc-fake",
};

const char *letter_name(enum letter letter)
{
    return names[letter];
}

/* Packets */

static void add_length(struct cm_buf *b, size_t len)
{
    const char five[] = {(char)255, (char)(len >> 24), (char)(len >> 16),
                         (char)(len >> 8), (char)len};
    if (len < 192) {
        cm_buf_add(b, &five[4], 1);
    } else {
        cm_buf_add(b, five, sizeof(five));
    }
}

static void add_nonsense(struct cm_buf *b, size_t len)
{
    static uint32_t seed = 2463534242u;
    while (len-- > 0) {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        const char c = (char)(seed >> 11);
        cm_buf_add(b, &c, 1);
    }
}

static void add_packet(struct cm_buf *b, unsigned tag, size_t len)
{
    const char first = (char)(0xc0u | tag);
    cm_buf_add(b, &first, 1);
    add_length(b, len);
    add_nonsense(b, len);
}

unsigned char *letter_packets(size_t body, int partial, size_t *len_r)
{
    struct cm_buf b;
    cm_buf_init(&b, TEXT_MAX);
    add_packet(&b, 1, 94);
    add_packet(&b, 1, 268);
    if (!partial) {
        add_packet(&b, 18, body);
    } else {
        const char seipd = (char)0xd2, part = (char)(224 + 9); /* 2^9 bytes */
        cm_buf_add(&b, &seipd, 1);
        for (; body >= PARTIAL; body -= PARTIAL) {
            cm_buf_add(&b, &part, 1);
            add_nonsense(&b, PARTIAL);
        }
        add_length(&b, body);
        add_nonsense(&b, body);
    }
    *len_r = b.len;
    return (unsigned char *)cm_buf_steal(&b);
}

/* Armour */

static void add_base64(struct cm_buf *b, const unsigned char *p, size_t len)
{
    static const char set[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        unsigned v = (unsigned)p[i] << 16;
        v |= n > 1 ? (unsigned)p[i + 1] << 8 : 0u;
        v |= n > 2 ? (unsigned)p[i + 2] : 0u;
        const char quad[] = {set[v >> 18], set[v >> 12 & 63u],
                             n > 1 ? set[v >> 6 & 63u] : '=',
                             n > 2 ? set[v & 63u] : '='};
        cm_buf_add(b, quad, 4);
        if (i % 48 == 45) {
            cm_buf_str(b, "\r\n");
        }
    }
    if (len % 48 != 0) {
        cm_buf_str(b, "\r\n");
    }
}

char *letter_armour(const unsigned char *packets, size_t len, const char *crc)
{
    struct cm_buf b;
    cm_buf_init(&b, TEXT_MAX);
    cm_buf_str(&b, "-----BEGIN PGP MESSAGE-----\r\n\r\n");
    add_base64(&b, packets, len);
    if (crc != NULL) {
        cm_buf_fmt(&b, "%s\r\n", crc);
    }
    cm_buf_str(&b, "-----END PGP MESSAGE-----\r\n");
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

/* Letters */

static void add_header(struct cm_buf *b, const char *from, const char *to,
                       const char *id, const char *subject)
{
    char date[64];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
    cm_buf_fmt(b,
               "From: %s\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\n"
               "Message-ID: <%s>\r\nMIME-Version: 1.0\r\n",
               from, to, subject, date, id);
}

char *letter_around(const char *from, const char *to, const char *id,
                    const char *armour)
{
    struct cm_buf b;
    cm_buf_init(&b, TEXT_MAX);
    add_header(&b, from, to, id, "[...]");
    cm_buf_fmt(
        &b,
        "Chat-Version: 1.0\r\n"
        "Autocrypt: addr=%s; prefer-encrypt=mutual; keydata=\r\n mDMEZeEz0RYJ\r\n"
        "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted"
        "\";\r\n boundary=\"letter_0-1\"\r\n\r\n"
        "--letter_0-1\r\n"
        "Content-Description: PGP/MIME version identification\r\n"
        "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n"
        "--letter_0-1\r\n"
        "Content-Description: OpenPGP encrypted message\r\n"
        "Content-Disposition: inline; filename=\"encrypted.asc\";\r\n"
        "Content-Type: application/octet-stream; name=\"encrypted.asc\";\r\n\r\n",
        from);
    cm_buf_str(&b, armour);
    cm_buf_str(&b, "\r\n--letter_0-1--\r\n");
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

static char *around_packets(const char *from, const char *to, const char *id,
                            const unsigned char *packets, size_t len)
{
    char *armour = letter_armour(packets, len, "=twTO");
    char *text = letter_around(from, to, id, armour);
    free(armour);
    return text;
}

char *letter_of_size(const char *from, const char *to, const char *id, size_t bytes)
{
    size_t len;
    unsigned char *packets = letter_packets(bytes / 66 * 48, 1, &len);
    char *text = around_packets(from, to, id, packets, len);
    free(packets);
    return text;
}

static const char receipt[] =
    "Auto-Submitted: auto-replied\r\n"
    "Content-Type: multipart/report; report-type=disposition-notification;\r\n"
    " boundary=\"letter_2\"\r\n\r\n"
    "--letter_2\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nYour message was "
    "read."
    "\r\n\r\n--letter_2\r\nContent-Type: message/disposition-notification\r\n\r\n"
    "Final-Recipient: rfc822;someone@example.org\r\n"
    "Disposition: manual-action/MDN-sent-automatically; displayed\r\n\r\n--letter_2--"
    "\r\n";

static const char setup[] =
    "Autocrypt-Setup-Message: v1\r\n"
    "Content-Type: multipart/mixed; boundary=\"letter_3\"\r\n\r\n"
    "--letter_3\r\nContent-Type: text/plain\r\n\r\nThe key for another device.\r\n\r\n"
    "--letter_3\r\nContent-Type: application/autocrypt-setup\r\n\r\n<pre>key</pre>\r\n"
    "\r\n--letter_3--\r\n";

static const char bounce[] =
    "Auto-Submitted: auto-replied\r\n"
    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
    " boundary=\"letter/4\"\r\n\r\n"
    "--letter/4\r\nContent-Type: text/plain\r\n\r\nThis is the mail system.\r\n\r\n"
    "--letter/4\r\nContent-Type: message/delivery-status\r\n\r\n"
    "Reporting-MTA: dns; example.org\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
    "--letter/4--\r\n";

#define SECUREJOIN_HEADER                                                              \
    "Secure-Join: vc-request\r\nSecure-Join-Invitenumber: RvBOTPJjrRq\r\n"             \
    "Chat-Version: 1.0\r\nContent-Type: multipart/mixed; "                             \
    "boundary=\"letter_5\"\r\n\r\n"                                                    \
    "--letter_5\r\nContent-Type: text/plain; charset=utf-8; format=flowed;\r\n"        \
    " delsp=no\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"

static const struct {
    const char *subject;
    const char *rest; /* of the header, and the body */
} simple[LETTERS] = {
    [LETTER_FAKE_ENCRYPTED] = {"[...]",
                               "Content-Type: text/plain; charset=utf-8\r\n\r\n"
                               "-----BEGIN PGP MESSAGE-----\r\n\r\nHi!\r\n\r\n"
                               "-----END PGP MESSAGE-----\r\n"},
    [LETTER_PLAIN] = {"Hello", "Content-Type: text/plain; charset=utf-8; "
                               "format=flowed;\r\n delsp=no\r\n\r\nHi!\r\n"},
    [LETTER_MDN] = {"Message opened", receipt},
    [LETTER_SETUP] = {"Autocrypt Setup Message", setup},
    [LETTER_MAILER_DAEMON] = {"Undelivered Mail Returned to Sender", bounce},
    [LETTER_SECUREJOIN] = {"[...]", SECUREJOIN_HEADER "Secure-Join: vc-request\r\n\r\n"
                                                      "--letter_5--\r\n"},
    [LETTER_SECUREJOIN_FAKE] = {"[...]", SECUREJOIN_HEADER
                                "Buy your pills here!\r\n\r\n--letter_5--\r\n"},
};

static char *encrypted(enum letter letter, const char *from, const char *to,
                       const char *id)
{
    static const unsigned char literal[] = {0xcb, 9, 'b', 0, 0, 0, 0, 0, 'H', 'i', '!'};
    size_t len = sizeof(literal);
    unsigned char *packets = NULL;
    if (letter == LETTER_ENCRYPTED) {
        packets = letter_packets(700, 1, &len);
    }
    char *text = around_packets(from, to, id, packets != NULL ? packets : literal, len);
    free(packets);
    return text;
}

char *letter_text(enum letter letter, const char *from, const char *to, const char *id)
{
    struct cm_buf b;
    if (simple[letter].rest == NULL) {
        return encrypted(letter, from, to, id);
    }
    char *author =
        letter == LETTER_MAILER_DAEMON
            ? cm_asprintf("Mail Delivery System <MAILER-DAEMON%s>", strchr(from, '@'))
            : cm_asprintf("<%s>", from);
    cm_buf_init(&b, TEXT_MAX);
    add_header(&b, author, to, id, simple[letter].subject);
    cm_buf_str(&b, simple[letter].rest);
    free(author);
    return cm_buf_steal(&b);
}
