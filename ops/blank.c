#include "blank.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/mem.h"
#include "hash.h"

#define OUT_MAX  (1 << 20)
#define WORD_MAX 600

void op_blank_init(struct op_blank *b)
{
    unsigned char raw[16];

    *b = (struct op_blank){.kept_count = 0};
    cm_assert(getrandom(raw, sizeof(raw), 0) == (ssize_t)sizeof(raw));
    for (size_t i = 0; i < sizeof(raw); i++) {
        snprintf(b->key + 2 * i, 3, "%02x", raw[i]);
    }
}

void op_blank_keep(struct op_blank *b, const char *word)
{
    if (b->kept_count < OP_BLANK_KEPT) {
        b->kept[b->kept_count++] = word;
    }
}

static bool is_ip(const char *word)
{
    unsigned char raw[16];

    return inet_pton(AF_INET, word, raw) == 1 || inet_pton(AF_INET6, word, raw) == 1;
}

static bool is_kept(const struct op_blank *b, const char *word)
{
    static const char *const nets[] = {"127.", "10.77.", "fd77:"};

    for (size_t i = 0; is_ip(word) && i < sizeof(nets) / sizeof(nets[0]); i++) {
        if (strncmp(word, nets[i], strlen(nets[i])) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < b->kept_count; i++) {
        if (strcasecmp(b->kept[i], word) == 0) {
            return true;
        }
    }
    return strcmp(word, "::1") == 0 || strcmp(word, "unknown") == 0 ||
           strcmp(word, "localhost") == 0;
}

static void put_blank(const struct op_blank *b, struct cm_buf *out, const char *kind,
                      const char *word)
{
    char hash[OP_HASH_TEXT];
    char *keyed = cm_asprintf("%s %s", b->key, word);

    op_hash(keyed, strlen(keyed), hash);
    free(keyed);
    cm_buf_fmt(out, "[%s %.8s]", kind, hash);
}

static bool is_token(const char *word)
{
    bool digit = false, small = false;
    size_t n = 0;

    for (; word[n] != '\0'; n++) {
        digit = digit || isdigit((unsigned char)word[n]);
        small = small || islower((unsigned char)word[n]);
        if (word[n] == '.') {
            return false; /* a host or file name */
        }
    }
    return n >= OP_BLANK_TOKEN_MIN && digit && small;
}

/* "postfix@-.service" is no mail address. */
static bool is_unit(const char *word)
{
    static const char *const ends[] = {".service", ".socket", ".timer"};
    size_t n = strlen(word);

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t len = strlen(ends[i]);
        if (n > len && strcmp(word + n - len, ends[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A mail address: its domain stays when it is the cluster's. */
static void put_address(const struct op_blank *b, struct cm_buf *out, char *word,
                        char *at)
{
    put_blank(b, out, "user", word);
    if (is_kept(b, at + 1)) {
        cm_buf_fmt(out, "@%s", at + 1);
    }
}

/* What stands between two separators, none of which is ':'. */
static void put_piece(const struct op_blank *b, struct cm_buf *out, char *word)
{
    char *at = strchr(word, '@');

    if (is_kept(b, word) || is_unit(word)) {
        cm_buf_str(out, word);
    } else if (at != NULL && at > word && at[1] != '\0') {
        put_address(b, out, word, at);
    } else if (is_ip(word)) {
        put_blank(b, out, "ip", word);
    } else if (is_token(word)) {
        put_blank(b, out, "token", word);
    } else {
        cm_buf_str(out, word);
    }
}

static void put_word(const struct op_blank *b, struct cm_buf *out, char *word)
{
    if (is_ip(word) || strchr(word, ':') == NULL) {
        put_piece(b, out, word);
        return;
    }
    for (char *p = word; p != NULL;) {
        char *colon = strchr(p, ':');
        if (colon != NULL) {
            *colon = '\0';
        }
        put_piece(b, out, p);
        cm_buf_str(out, colon != NULL ? ":" : "");
        p = colon != NULL ? colon + 1 : NULL;
    }
}

static bool is_word_char(char c)
{
    return isalnum((unsigned char)c) || (c != '\0' && strchr("._%+-@:", c) != NULL);
}

/* "HOST[ADDRESS]", as Postfix names a peer, and as a Received: field does: the name
 * tells as much. */
static bool names_peer(const char *rest)
{
    char address[INET6_ADDRSTRLEN];
    if (strncmp(rest, " (", 2) == 0) { /* "HELO (HOST [ADDRESS])" */
        rest += strcspn(rest, "[)");
    }
    rest += rest[0] == ' ';
    size_t n = rest[0] == '[' ? strcspn(rest + 1, "]") : 0;

    if (n == 0 || n >= sizeof(address)) {
        return false;
    }
    snprintf(address, sizeof(address), "%.*s", (int)n, rest + 1);
    return is_ip(address);
}

/* Keys whose value is a name that somebody gave, whatever it looks like. */
static bool is_name_key(const char *word)
{
    static const char *const keys[] = {"user", "helo", "sasl_username", "sasl_sender"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcasecmp(word, keys[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The value behind "user=", with or without <>. Returns how many bytes it took. */
static size_t put_value(const struct op_blank *b, struct cm_buf *out, const char *text)
{
    bool angle = text[0] == '<';
    const char *from = text + angle;
    size_t n = strcspn(from, angle ? ">" : " ,>)");
    char word[WORD_MAX];

    cm_buf_str(out, angle ? "<" : "");
    snprintf(word, sizeof(word), "%.*s", (int)(n < WORD_MAX ? n : WORD_MAX - 1), from);
    char *at = strchr(word, '@');
    if (at != NULL && at > word && at[1] != '\0') {
        put_address(b, out, word, at);
    } else if (n > 0) {
        put_blank(b, out, "name", word);
    }
    return n + angle;
}

static char plain(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x7f ? c : '?';
}

char *op_blank(const struct op_blank *b, const char *line)
{
    struct cm_buf out;

    cm_buf_init(&out, OUT_MAX);
    cm_buf_str(&out, "");
    while (*line != '\0') {
        char word[WORD_MAX];
        size_t n = 0;
        while (n + 1 < sizeof(word) && is_word_char(line[n])) {
            n++;
        }
        if (n == 0) {
            char c = plain(*line++);
            cm_buf_add(&out, &c, 1);
            continue;
        }
        size_t tail = n; /* a full stop or colon ends the sentence, not the word */
        while (tail > 1 && strchr(".:", line[tail - 1]) != NULL) {
            tail--;
        }
        snprintf(word, sizeof(word), "%.*s", (int)tail, line);
        line += tail;
        if (names_peer(line) && !is_kept(b, word)) {
            put_blank(b, &out, "host", word);
        } else {
            bool key = *line == '=' && is_name_key(word);
            put_word(b, &out, word);
            if (key) {
                cm_buf_str(&out, "=");
                line += 1 + put_value(b, &out, line + 1);
            }
        }
    }
    return cm_buf_steal(&out);
}
