#include "mail.h"

#include <stdint.h>
#include <sys/random.h>
#include <time.h>

#include "common/err.h"
#include "common/mem.h"

/* One PKESK (version 3, key id 0) and one SEIPD (version 1) of nonsense. */
static const char armor[] =
    "-----BEGIN PGP MESSAGE-----\r\n\r\n"
    "wQ0DAAAAAAAAAAABAAj/0hkBAAECAwQFBgcICQoLDA0ODxAREhMUFRYX\r\n"
    "=bMn1\r\n"
    "-----END PGP MESSAGE-----\r\n";

char *mail_text(const char *from, const char *to, const char *id)
{
    char date[64];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &tm);
    return cm_asprintf("From: <%s>\r\nTo: <%s>\r\nSubject: [...]\r\nDate: %s\r\n"
                       "Message-ID: <%s>\r\nChat-Version: 1.0\r\nMIME-Version: 1.0\r\n"
                       "Content-Type: multipart/encrypted; boundary=\"b\";\r\n"
                       " protocol=\"application/pgp-encrypted\"\r\n\r\n"
                       "--b\r\nContent-Type: application/pgp-encrypted\r\n\r\n"
                       "Version: 1\r\n\r\n"
                       "--b\r\nContent-Type: application/octet-stream\r\n\r\n%s\r\n"
                       "--b--\r\n",
                       from, to, date, id, armor);
}

void mail_random(char *out, size_t n)
{
    static const char set[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    unsigned char raw[64];
    cm_assert(n >= 1 && n <= sizeof raw);
    cm_assert(getrandom(raw, n, 0) == (ssize_t)n);
    for (size_t i = 0; i + 1 < n; i++) {
        out[i] = set[raw[i] % (i == 0 ? 26 : 36)];
    }
    out[n - 1] = '\0';
}
