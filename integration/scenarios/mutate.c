#include "mutate.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"

#define TEXT_MAX  (1u << 20)
#define CHANGES   4
#define PIECE_MAX 60
#define DEPTH_MAX 12
#define LONG_LINE 5000

struct mutate mutate_of(uint32_t seed, unsigned number)
{
    struct mutate m = {.state = seed ^ (number + 1) * 2654435761u};
    if (m.state == 0) {
        m.state = 1;
    }
    for (int i = 0; i < 8; i++) { /* near numbers begin alike */
        mutate_below(&m, 2);
    }
    return m;
}

unsigned mutate_below(struct mutate *m, unsigned n)
{
    m->state ^= m->state << 13;
    m->state ^= m->state >> 17;
    m->state ^= m->state << 5;
    return m->state % n;
}

/* Puts `in` where text[at..at+gone) was. */
static void splice(struct cm_buf *b, size_t at, size_t gone, const char *in)
{
    char *tail = cm_strdup(b->data + at + gone);
    b->len = at;
    b->data[at] = '\0';
    cm_buf_str(b, in);
    cm_buf_str(b, tail);
    cm_assert(!b->overflow);
    free(tail);
}

static size_t header_len(const struct cm_buf *b)
{
    const char *end = strstr(b->data, "\r\n\r\n");
    return end != NULL ? (size_t)(end - b->data) + 2 : b->len;
}

static size_t somewhere(struct mutate *m, size_t len)
{
    return len > 0 ? mutate_below(m, (unsigned)len) : 0;
}

static size_t some(struct mutate *m, size_t most)
{
    size_t n = 1 + mutate_below(m, PIECE_MAX);
    return n < most ? n : most;
}

/* ---- changes ---- */

static void another_byte(struct mutate *m, struct cm_buf *b)
{
    b->data[somewhere(m, b->len)] = (char)(1 + mutate_below(m, 255));
}

static void cut_out(struct mutate *m, struct cm_buf *b)
{
    size_t at = somewhere(m, b->len);
    splice(b, at, some(m, b->len - at), "");
}

static void cut_off(struct mutate *m, struct cm_buf *b)
{
    size_t at = somewhere(m, b->len);
    splice(b, at, b->len - at, "");
}

static void move_text(struct mutate *m, struct cm_buf *b)
{
    size_t at = somewhere(m, b->len), n = some(m, b->len - at);
    char *piece = cm_asprintf("%.*s", (int)n, b->data + at);
    splice(b, at, n, "");
    splice(b, somewhere(m, b->len), 0, piece);
    free(piece);
}

static void put_structure(struct mutate *m, struct cm_buf *b)
{
    static const char *const pieces[] = {
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        "\n.\n",
        "\r\n.\r\n",
        "\n.\r\n",
        " ",
        "=",
        "-",
        "\xff\xfe",
        "\r\n--letter_0-1\r\n",
        "\r\n--letter_0-1--\r\n",
        "\r\n--letter_0-1\r\nContent-Type: text/plain\r\n\r\n",
        "\r\nContent-Type: text/plain\r\n",
        "\r\nContent-Type: multipart/mixed; boundary=letter_0-1\r\n",
        "\r\nContent-Transfer-Encoding: base64\r\n",
        "\r\nFrom: other@example.org\r\n",
        "\r\nVersion: 1\r\n",
        "\r\n-----BEGIN PGP MESSAGE-----\r\n",
        "\r\n-----END PGP MESSAGE-----\r\n",
        ";",
        "\"",
        "(",
        "\\",
    };
    unsigned n = mutate_below(m, sizeof pieces / sizeof pieces[0]);
    splice(b, somewhere(m, b->len), 0, pieces[n]);
}

static void tear_header(struct mutate *m, struct cm_buf *b)
{
    static const char *const pieces[] = {"\r\n ", "\r\n\t", "\r\n",
                                         "\n ",   ":",      "\r\r\n"};
    unsigned n = mutate_below(m, sizeof pieces / sizeof pieces[0]);
    splice(b, somewhere(m, header_len(b)), 0, pieces[n]);
}

/* A field of the header once more, in front of all others. */
static void double_field(struct mutate *m, struct cm_buf *b)
{
    const char *line = b->data + somewhere(m, header_len(b));
    while (line > b->data && line[-1] != '\n') {
        line--;
    }
    char *field = cm_asprintf("%.*s\r\n", (int)strcspn(line, "\r\n"), line);
    splice(b, 0, 0, field);
    free(field);
}

static void long_line(struct mutate *m, struct cm_buf *b)
{
    char *line = cm_malloc(LONG_LINE + 1);
    memset(line, 'A', LONG_LINE);
    line[LONG_LINE] = '\0';
    splice(b, somewhere(m, b->len), 0, line);
    free(line);
}

/* The body as the only part of a part of a part; the header stays as it is. */
static void nest(struct mutate *m, struct cm_buf *b)
{
    size_t at = header_len(b);
    if (at + 2 > b->len) {
        return;
    }
    for (unsigned depth = 1 + mutate_below(m, DEPTH_MAX); depth > 0; depth--) {
        char *open = cm_asprintf("--letter_0-1\r\nContent-Type: multipart/encrypted;"
                                 " boundary=\"deep%u\"\r\n\r\n",
                                 depth);
        splice(b, at + 2, 0, open);
        free(open);
    }
    cm_buf_str(b, "\r\n--letter_0-1--\r\n");
}

static void change(struct mutate *m, struct cm_buf *b)
{
    static void (*const changes[])(struct mutate *, struct cm_buf *) = {
        another_byte,  another_byte,  another_byte,  cut_out,
        cut_out,       cut_off,       move_text,     move_text,
        put_structure, put_structure, put_structure, tear_header,
        tear_header,   double_field,  long_line,     nest};
    if (b->len > 0) {
        changes[mutate_below(m, sizeof changes / sizeof changes[0])](m, b);
    }
}

static void put_mark(struct mutate *m, struct cm_buf *b)
{
    size_t body = header_len(b) + 2;
    if (body > b->len) {
        body = b->len;
    }
    splice(b, body + somewhere(m, b->len - body), 0, "\r\n" MUTANT_MARK "\r\n");
}

char *mutate_letter(struct mutate *m, const char *letter, bool mark)
{
    struct cm_buf b;
    cm_buf_init(&b, TEXT_MAX);
    cm_buf_str(&b, letter);
    if (mark) {
        put_mark(m, &b);
    }
    /* One change in half of them, since most are one too many. */
    unsigned n = 1 + mutate_below(m, 1 + mutate_below(m, CHANGES));
    for (n -= mark; n > 0; n--) {
        change(m, &b);
    }
    return cm_buf_steal(&b);
}

char *mutate_stuffed(const char *text)
{
    struct cm_buf b;
    cm_buf_init(&b, 2 * TEXT_MAX);
    for (const char *line = text; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        n += line[n] == '\n';
        cm_buf_str(&b, *line == '.' ? "." : "");
        cm_buf_add(&b, line, n);
        line += n;
    }
    if (b.len < 2 || strcmp(b.data + b.len - 2, "\r\n") != 0) {
        cm_buf_str(&b, "\r\n");
    }
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

char *mutate_received(const char *text)
{
    struct cm_buf b;
    cm_buf_init(&b, 2 * TEXT_MAX);
    for (const char *line = text; *line != '\0';) {
        size_t n = strcspn(line, "\n"), from = b.len;
        cm_buf_add(&b, line, n - (n > 0 && line[n - 1] == '\r'));
        for (size_t i = from; i < b.len; i++) {
            b.data[i] = b.data[i] == '\r' ? ' ' : b.data[i];
        }
        cm_buf_str(&b, "\r\n");
        line += n + (line[n] == '\n');
    }
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}
