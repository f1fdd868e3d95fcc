#include "armour.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/run.h"
#include "letters/letters.h"

static bool judge(const char *text, size_t len, bool incoming, size_t chunk)
{
    struct armour a;
    armour_init(&a, incoming);
    for (size_t at = 0; at < len; at += chunk) {
        size_t n = len - at < chunk ? len - at : chunk;
        armour_feed(&a, text + at, n);
    }
    return armour_end(&a);
}

/* In several chunkings, which must agree. */
static bool accepts(const char *text, bool incoming)
{
    static const size_t chunks[] = {1, 2, 3, 7, 64, 66, 1000, 1u << 20};
    size_t len = strlen(text);
    bool first = judge(text, len, incoming, len + 1);
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        assert_int_equal(judge(text, len, incoming, chunks[i]), first);
    }
    return first;
}

static void expect(const char *text, bool out, bool in)
{
    if (accepts(text, false) != out || accepts(text, true) != in) {
        fail_msg("not as expected: %.400s", text);
    }
}

#define BEGIN "-----BEGIN PGP MESSAGE-----\r\n"
#define END   "-----END PGP MESSAGE-----"
/* PKESK of 13 bytes and SEIPD of 25: 42 bytes, no padding. */
#define DATA "wQ0DAAAAAAAAAAABAAj/0hkBAAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
/* SEIPD of 2 bytes (4 in all) and of 3 (5): padded. */
#define PAD_2 "0gIBAA=="
#define PAD_1 "0gMBAAA="

/* The armour table of relay-spec.md 6.8 and what stands around it. */
static const struct {
    const char *text;
    bool out, in;
} table[] = {
    {BEGIN "\r\n" DATA "\r\n=bMn1\r\n" END, true, true},
    {BEGIN "\r\n" DATA "\r\n=bMn1\r\n" END "\r\n", true, true},
    {BEGIN "\r\n" DATA "\r\n=bMn1\r\n" END "\r\n\r\n\r\n", true, true},
    {BEGIN DATA "\r\n=bMn1\r\n" END, true, true}, /* no blank line */
    {BEGIN "\r\n\r\n\r\n" DATA "\r\n=bMn1\r\n" END, true, true},
    {BEGIN "\r\n" DATA "\r\n" END, true, true}, /* no CRC */
    {BEGIN "\r\n" DATA END, true, true},
    {BEGIN "\r\n" PAD_2 "\r\n" END, true, true}, /* upstream's quirk is a fault */
    {BEGIN "\r\n" PAD_1 "\r\n" END, true, true},
    {BEGIN "\r\n" PAD_2 "\r\n=bMn1\r\n" END, true, true},
    {BEGIN "\r\n" PAD_1 "\r\n=bMn1\r\n" END, true, true},
    {BEGIN "Version: 1\r\n" DATA "\r\n=bMn1\r\n" END, false, true},
    {BEGIN "Version: 1\r\n\r\n" DATA "\r\n=bMn1\r\n" END, false, true},
    {BEGIN "Version: 1\r\nVersion: 2\r\n" DATA "\r\n" END, false, false},
    {BEGIN "\r\nVersion: 1\r\n" DATA "\r\n" END, false, false},
    {BEGIN "Comment: hello\r\n\r\n" DATA "\r\n" END, false, false},
    {BEGIN "Vers" DATA "\r\n" END, false, false},           /* data, and no packet */
    {BEGIN "\r\n" DATA "=\r\n=bMn1\r\n" END, false, false}, /* surplus padding */
    {BEGIN "\r\n" PAD_2 "=\r\n=bMn1\r\n" END, false, false},
    {BEGIN "\r\n0gIBAA=\r\n=bMn1\r\n" END, false, false}, /* padding is missing */
    {BEGIN "\r\n0gIBAA\r\n=bMn1\r\n" END, false, false},
    {BEGIN "\r\n0gIBAB==\r\n" END, false, false}, /* not canonical */
    {BEGIN "\r\n" DATA "\r\n=bMn\r\n" END, false, false},
    {BEGIN "\r\n" DATA "\r\n=bMn1x\r\n" END, false, false},
    {BEGIN "\r\n" DATA "\r\n=bMn1\r\n=bMn1\r\n" END, false, false},
    {BEGIN "\r\n" DATA "\r\n=text behind\r\n" END, false, false},
    {BEGIN "\r\nSGVsbG8gd29ybGQh\r\n=bMn1\r\n" END, false, false}, /* plain text */
    {BEGIN "\r\nHello world!\r\n" END, false, false},
    {BEGIN "\r\n=bMn1\r\n" END, false, false},
    {BEGIN "\r\n" END, false, false},
    {BEGIN, false, false},
    {END, false, false},
    {"", false, false},
    {BEGIN "\r\n" DATA "\r\n", false, false},
    {BEGIN "\r\n" DATA "\r\n" END "\r\nbye", false, false},
    {"\r\n" BEGIN "\r\n" DATA "\r\n" END, false, false},
    {"hello\r\n" BEGIN "\r\n" DATA "\r\n" END, false, false},
    {"-----BEGIN PGP MESSAGE----- \r\n\r\n" DATA "\r\n" END, false, false},
    {"-----BEGIN PGP MESSAGE-----\n\n" DATA "\n" END, false, false},
    {BEGIN "\r\n" DATA " \r\n" END, false, false},
    {BEGIN "\r\n" DATA "\r\n-----END PGP MESSAGE----\r\n", false, false},
    {BEGIN "\r\nywliAAAAAEhpIQ==\r\n=twTO\r\n" END, false, false}, /* literal */
};

static void the_table_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        expect(table[i].text, table[i].out, table[i].in);
    }
}

/* Binary packets, each judged in two chunkings. */
static const struct {
    const char *what;
    unsigned char data[24];
    size_t len;
    bool ok;
} framing[] = {
    {"SEIPD alone", {0xd2, 1, 1}, 3, true},
    {"empty SEIPD", {0xd2, 0}, 2, true},
    {"PKESK SEIPD", {0xc1, 1, 3, 0xd2, 1, 1}, 6, true},
    {"SKESK PKESK SEIPD", {0xc3, 1, 4, 0xc1, 1, 3, 0xd2, 1, 2}, 9, true},
    {"legacy PKESK, one byte", {0x84, 1, 3, 0xd2, 1, 1}, 6, true},
    {"legacy PKESK, two bytes", {0x85, 0, 1, 3, 0xd2, 1, 1}, 7, true},
    {"legacy PKESK, four bytes", {0x86, 0, 0, 0, 1, 3, 0xd2, 1, 1}, 9, true},
    {"legacy indeterminate", {0x87, 1, 3, 0xd2, 1, 1}, 6, false},
    {"partial: 2, then 1", {0xd2, 225, 1, 2, 1, 3}, 6, true},
    {"partial: 1, then 0", {0xd2, 224, 1, 0}, 4, true},
    {"partial without an end", {0xd2, 224, 1}, 3, false},
    {"five bytes of length", {0xd2, 255, 0, 0, 0, 2, 1, 2}, 8, true},
    {"body too short", {0xd2, 2, 1}, 3, false},
    {"length is missing", {0xd2}, 1, false},
    {"length of two is cut", {0xd2, 192}, 2, false},
    {"length that would wrap", {0xd2, 255, 255, 255, 255, 255, 1}, 7, false},
    {"partial of 2^30", {0xd2, 254, 1, 2}, 4, false},
    {"PKESK only", {0xc1, 1, 3}, 3, false},
    {"SEIPD, then more", {0xd2, 1, 1, 0xc1, 1, 3}, 6, false},
    {"two SEIPD", {0xd2, 1, 1, 0xd2, 1, 1}, 6, false},
    {"literal", {0xcb, 1, 1}, 3, false},
    {"literal first", {0xcb, 1, 1, 0xd2, 1, 1}, 6, false},
    {"compressed", {0xc8, 1, 1}, 3, false},
    {"marker", {0xca, 3, 'P', 'G', 'P', 0xd2, 1, 1}, 8, false},
    {"padding", {0xd5, 1, 1, 0xd2, 1, 1}, 6, false},
    {"AEAD", {0xd4, 1, 1}, 3, false},
    {"tag 0", {0xc0, 1, 1}, 3, false},
    {"no tag", {0x12, 1, 1}, 3, false},
    {"nothing", {0}, 0, false},
};

static void packets_are_framed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(framing) / sizeof(framing[0]); i++) {
        for (size_t chunk = 1; chunk <= framing[i].len + 1; chunk++) {
            struct packets p;
            packets_init(&p);
            for (size_t at = 0; at < framing[i].len; at += chunk) {
                size_t left = framing[i].len - at;
                packets_feed(&p, framing[i].data + at, left < chunk ? left : chunk);
            }
            if (packets_end(&p) != framing[i].ok) {
                fail_msg("%s, chunks of %zu", framing[i].what, chunk);
            }
        }
    }
}

static void long_messages_are_read_whole(void **state)
{
    (void)state;
    for (int partial = 0; partial < 2; partial++) {
        for (size_t size = 0; size < 3000; size += 191) {
            size_t len;
            unsigned char *packets = letter_packets(size, partial, &len);
            char *text = letter_armour(packets, len, "=abcd");
            expect(text, true, true);
            char *short_text = letter_armour(packets, len - 1, "=abcd");
            expect(short_text, false, false);
            free(short_text);
            free(packets);
            free(text);
        }
    }
}

/* One wrong character anywhere, the CRC aside, is found. */
static void a_wrong_character_is_found(void **state)
{
    (void)state;
    size_t len;
    unsigned char *packets = letter_packets(600, 0, &len);
    char *text = letter_armour(packets, len, "=abcd");
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        char was = text[i];
        if (was != '\r' && was != '\n') {
            text[i] = '*';
            assert_false(judge(text, n, true, 50));
            text[i] = was;
        }
    }
    assert_true(judge(text, n, true, 50));
    free(packets);
    free(text);
}

/* What GnuPG writes, with line ends as in mail. */
static char *gpg_says(const char *home, const char *args)
{
    char *script = cm_asprintf("echo 'A secret.' | gpg --homedir %s --batch --quiet "
                               "--no-tty --trust-model always --pinentry-mode loopback "
                               "--passphrase x -a %s | sed 's/$/\\r/'",
                               home, args);
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct cm_run run = {.argv = argv};
    struct cm_err err;
    char *out;
    if (cm_run_ok(&run, &out, &err) != 0) {
        fail_msg("%s", err.text);
    }
    free(script);
    return out;
}

static void what_gnupg_writes_passes(void **state)
{
    (void)state;
    if (access("/usr/bin/gpg", X_OK) != 0) {
        skip();
    }
    char home[] = "/tmp/test_filter_gpg.XXXXXX";
    assert_non_null(mkdtemp(home));
    char *nothing = gpg_says(home, "--quick-gen-key one@example.org rsa2048 encr && "
                                   "echo x | gpg --homedir /nonexistent --version "
                                   ">/dev/null");
    free(nothing);
    static const struct {
        const char *args;
        bool ok;
    } runs[] = {
        {"-e -r one@example.org", true},
        {"-e -r one@example.org -R one@example.org", true},
        {"-c", true},
        {"-c -e -r one@example.org", true},
        {"-c --compress-algo none --s2k-mode 3", true},
        {"--store", false},
    };
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        char *text = gpg_says(home, runs[i].args);
        assert_non_null(strstr(text, "BEGIN PGP MESSAGE"));
        expect(text, runs[i].ok, runs[i].ok);
        free(text);
    }
    char *clean =
        cm_asprintf("gpgconf --homedir %s --kill gpg-agent; rm -rf %s", home, home);
    const char *const argv[] = {"sh", "-c", clean, NULL};
    struct cm_run run = {.argv = argv};
    struct cm_err err;
    assert_int_equal(cm_run_ok(&run, NULL, &err), 0);
    free(clean);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_holds),
        cmocka_unit_test(packets_are_framed),
        cmocka_unit_test(long_messages_are_read_whole),
        cmocka_unit_test(a_wrong_character_is_found),
        cmocka_unit_test(what_gnupg_writes_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
