#include "mail.h"

#include <stdint.h>
#include <stdlib.h>
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

/* The rest: what comes behind the fields that all have. */
static char *letter(const char *from, const char *to, const char *id,
                    const char *subject, const char *rest)
{
    char date[64];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &tm);
    return cm_asprintf("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\n"
                       "Message-ID: <%s>\r\nChat-Version: 1.0\r\nMIME-Version: 1.0\r\n"
                       "%s",
                       from, to, subject, date, id, rest);
}

char *mail_text(const char *from, const char *to, const char *id)
{
    char *rest = cm_asprintf("Content-Type: multipart/encrypted; boundary=\"b\";\r\n"
                             " protocol=\"application/pgp-encrypted\"\r\n\r\n"
                             "--b\r\nContent-Type: application/pgp-encrypted\r\n\r\n"
                             "Version: 1\r\n\r\n"
                             "--b\r\nContent-Type: application/octet-stream\r\n\r\n"
                             "%s\r\n--b--\r\n",
                             armor);
    char *text = letter(from, to, id, "[...]", rest);
    free(rest);
    return text;
}

char *mail_plain(const char *from, const char *to, const char *id)
{
    return letter(from, to, id, "A test",
                  "Content-Type: text/plain; charset=utf-8\r\n\r\nIn clear.\r\n");
}

char *mail_securejoin(const char *from, const char *to, const char *id)
{
    return letter(from, to, id, "[...]",
                  "Secure-Join: vc-request\r\nSecure-Join-Invitenumber: Qm7RvB3OTPj\r\n"
                  "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n"
                  "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
                  "Secure-Join: vc-request\r\n\r\n--b--\r\n");
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
