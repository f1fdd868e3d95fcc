#include "witness.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/mem.h"

#define BODY_MAX   (1u << 22)
#define LINES_MAX  20000
#define VALUE_MAX  4000
#define NOTICE_MAX 200
#define BLANKS     " \t\r\v\f"
#define PARTS_MAX  3

/* A text cut into lines, without their ends. */
struct lines {
    char *copy;
    char **line;
    size_t count;
};

/* From one line of a text to another, its header unfolded. */
struct entity {
    const struct lines *lines;
    size_t begin, body, end; /* lines; body: the first behind the header */
};

static void cut_lines(struct lines *l, const char *text)
{
    l->copy = cm_strdup(text);
    l->line = cm_calloc(LINES_MAX, sizeof *l->line);
    l->count = 0;
    char *at = l->copy;
    while (*at != '\0' && l->count < LINES_MAX) {
        size_t n = strcspn(at, "\n");
        char *next = at + n + (at[n] == '\n');
        at[n] = '\0';
        at[n - (n > 0 && at[n - 1] == '\r')] = '\0';
        l->line[l->count++] = at;
        at = next;
    }
}

static void clear_lines(struct lines *l)
{
    free(l->line);
    free(l->copy);
}

static bool is_blank(const char *s)
{
    return s[strspn(s, BLANKS)] == '\0';
}

/* "Name:" at its start, or "Name :". Returns where the value is, NULL when none. */
static const char *field_value(const char *line, size_t *name_len)
{
    size_t n = 0;
    while ((unsigned char)line[n] > ' ' && line[n] != ':') {
        n++;
    }
    const char *colon = line + n + strspn(line + n, " \t");
    *name_len = n;
    return n > 0 && *colon == ':' ? colon + 1 : NULL;
}

static bool continues(const char *line)
{
    return *line == ' ' || *line == '\t';
}

/* A header ends at an empty line, or at one that cannot belong to it. */
static void open_entity(struct entity *e, const struct lines *lines, size_t begin,
                        size_t end)
{
    size_t i = begin, n;
    *e = (struct entity){.lines = lines, .begin = begin, .end = end};
    while (i < end && ((i > begin && continues(lines->line[i])) ||
                       field_value(lines->line[i], &n) != NULL)) {
        i++;
    }
    e->body = i < end && lines->line[i][0] == '\0' ? i + 1 : i;
}

/* The field of that line and what is folded behind it, without blanks around. */
static void unfold(const struct entity *e, size_t i, const char *first,
                   char value[VALUE_MAX])
{
    snprintf(value, VALUE_MAX, "%s", first);
    while (++i < e->body && continues(e->lines->line[i])) {
        size_t used = strlen(value);
        snprintf(value + used, VALUE_MAX - used, "%s", e->lines->line[i]);
    }
    size_t n = strlen(value);
    for (size_t k = 0; k < n; k++) {
        value[k] = iscntrl((unsigned char)value[k]) ? ' ' : value[k];
    }
    size_t before = strspn(value, BLANKS);
    memmove(value, value + before, n + 1 - before);
    for (n -= before; n > 0 && isspace((unsigned char)value[n - 1]); n--) {
        value[n - 1] = '\0';
    }
}

/* Returns how many there are; value: the first. */
static unsigned field(const struct entity *e, const char *name, char value[VALUE_MAX])
{
    unsigned count = 0;
    value[0] = '\0';
    for (size_t i = e->begin; i < e->body; i++) {
        size_t n;
        const char *line = e->lines->line[i], *v = field_value(line, &n);
        if (v == NULL || continues(line) || n != strlen(name) ||
            strncasecmp(line, name, n) != 0) {
            continue;
        }
        if (count++ == 0) {
            unfold(e, i, v, value);
        }
    }
    return count;
}

/* Blanks may stand around the slash (RFC 822, 3.1.4). */
static bool type_is(const char *value, const char *type)
{
    for (; *type != '\0'; type++, value++) {
        if (*type == '/') {
            value += strspn(value, BLANKS);
        }
        if (tolower((unsigned char)*value) != *type) {
            return false;
        }
        if (*type == '/') {
            value += strspn(value + 1, BLANKS);
        }
    }
    return *value == '\0' || strchr(";" BLANKS, *value) != NULL;
}

/* The value of boundary=, quoted or not; "" when there is none. */
static void boundary_of(const char *value, char out[VALUE_MAX])
{
    size_t n = 0;
    out[0] = '\0';
    for (const char *at = value; (at = strchr(at, ';')) != NULL;) {
        at += 1 + strspn(at + 1, BLANKS);
        if (strncasecmp(at, "boundary", 8) != 0) {
            continue;
        }
        const char *v = at + 8 + strspn(at + 8, BLANKS);
        if (*v != '=') {
            continue;
        }
        v += 1 + strspn(v + 1, BLANKS);
        const char *stop = *v == '"' ? "\"" : ";" BLANKS;
        for (v += *v == '"'; *v != '\0' && strchr(stop, *v) == NULL; v++) {
            v += *v == '\\' && v[1] != '\0';
            out[n++] = *v;
        }
        out[n] = '\0';
        return;
    }
}

/* 0 no delimiter, 1 one, 2 the last one, -1 neither clearly. */
static int delimiter(const char *line, const char *boundary)
{
    size_t n = strlen(boundary);
    if (strncmp(line, "--", 2) != 0 || strncmp(line + 2, boundary, n) != 0) {
        return 0;
    }
    const char *rest = line + 2 + n;
    return is_blank(rest)                                      ? 1
           : strncmp(rest, "--", 2) == 0 && is_blank(rest + 2) ? 2
                                                               : -1;
}

static bool only_notice(const struct entity *e, size_t end)
{
    size_t all = 0;
    for (size_t i = e->body; i < end; i++) {
        const char *line = e->lines->line[i];
        if (!is_blank(line) && all == 0 && strncmp(line, "This is a", 9) != 0) {
            return false;
        }
        all += is_blank(line) ? 0 : strlen(line);
    }
    return all <= NOTICE_MAX;
}

/* The parts of a closed multipart with nothing around them. Returns how many, -1 for
 * anything else. */
static int split(const struct entity *e, const char *boundary,
                 struct entity parts[PARTS_MAX])
{
    int count = -1;
    size_t begin = 0;
    bool closed = false;
    for (size_t i = e->body; i < e->end; i++) {
        int kind = delimiter(e->lines->line[i], boundary);
        if (closed && !is_blank(e->lines->line[i])) {
            return -1;
        }
        if (kind == 0 || closed) {
            continue;
        }
        if (kind < 0 || (count < 0 && (kind == 2 || !only_notice(e, i)))) {
            return -1;
        }
        if (count >= 0 && count < PARTS_MAX) {
            open_entity(&parts[count], e->lines, begin, i);
        }
        count++;
        begin = i + 1;
        closed = kind == 2;
    }
    return closed ? count : -1;
}

static bool is_plain_encoding(const struct entity *e)
{
    char value[VALUE_MAX];
    unsigned n = field(e, "Content-Transfer-Encoding", value);
    return n == 0 || (n == 1 && (strcasecmp(value, "7bit") == 0 ||
                                 strcasecmp(value, "8bit") == 0 ||
                                 strcasecmp(value, "binary") == 0));
}

/* The one line that is not blank; NULL when there are more or none. */
static const char *only_line(const struct entity *e)
{
    const char *found = NULL;
    for (size_t i = e->body; i < e->end; i++) {
        if (!is_blank(e->lines->line[i])) {
            if (found != NULL) {
                return NULL;
            }
            found = e->lines->line[i] + strspn(e->lines->line[i], BLANKS);
        }
    }
    return found;
}

static bool says(const char *line, const char *words, bool any_case)
{
    size_t n = strlen(words);
    return line != NULL &&
           (any_case ? strncasecmp(line, words, n) : strncmp(line, words, n)) == 0 &&
           is_blank(line + n);
}

/* ---- armour and packets ---- */

static int sextet(char c)
{
    static const char set[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(set, c) : NULL;
    return at != NULL ? (int)(at - set) : -1;
}

/* Returns bytes, 0 when it is not canonical. out: as large as text. */
static size_t from_base64(const char *text, unsigned char *out)
{
    size_t n = strlen(text), len = 0;
    if (n == 0 || n % 4 != 0) {
        return 0;
    }
    size_t pad = text[n - 2] == '=' && text[n - 1] == '=' ? 2
                 : text[n - 1] == '='                     ? 1
                                                          : 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < n - pad; i++) {
        int v = sextet(text[i]);
        if (v < 0) {
            return 0;
        }
        bits = bits << 6 | (uint32_t)v;
        if (i % 4 != 0) {
            out[len++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
        }
    }
    uint32_t rest = pad == 2 ? bits & 15u : pad == 1 ? bits & 3u : 0;
    return rest == 0 ? len : 0;
}

/* Length octets at p[*at]; 1 whole, 2 partial, 0 none that may be. */
static int packet_length(const unsigned char *p, size_t len, size_t *at, bool legacy,
                         unsigned type, size_t *out)
{
    size_t octets;
    if (legacy) {
        octets = (size_t)1 << type;
        if (type == 3 || *at + octets > len) {
            return 0;
        }
    } else {
        if (*at >= len) {
            return 0;
        }
        unsigned char first = p[*at];
        if (first >= 224 && first < 255) {
            *out = (size_t)1 << (first & 31);
            *at += 1;
            return 2;
        }
        if (first >= 192 && first < 224) {
            if (*at + 2 > len) {
                return 0;
            }
            *out = ((size_t)(first - 192) << 8) + p[*at + 1] + 192;
            *at += 2;
            return 1;
        }
        octets = first == 255 ? 4 : 1;
        *at += first == 255;
    }
    *out = 0;
    for (; octets > 0; octets--) {
        if (*at >= len) {
            return 0;
        }
        *out = *out << 8 | p[(*at)++];
    }
    return 1;
}

/* Session keys, one encrypted packet, and then nothing. */
static bool are_packets(const unsigned char *p, size_t len)
{
    size_t at = 0, n;
    while (at < len) {
        unsigned first = p[at++];
        bool legacy = (first & 0xc0u) == 0x80u;
        unsigned tag = legacy ? first >> 2 & 15u : first & 63u;
        int kind;
        if ((first & 0x80u) == 0 || (tag != 1 && tag != 3 && tag != 18)) {
            return false;
        }
        do {
            kind = packet_length(p, len, &at, legacy, first & 3u, &n);
            if (kind == 0 || n > len - at) {
                return false;
            }
            at += n;
        } while (kind == 2);
        if (tag == 18) {
            return at == len;
        }
    }
    return false;
}

/* The body in one piece, without blank lines around. Caller frees. */
static char *body_of(const struct entity *e)
{
    struct cm_buf b;
    cm_buf_init(&b, BODY_MAX);
    for (size_t i = e->body; i < e->end; i++) {
        cm_buf_fmt(&b, "%s\n", e->lines->line[i]);
    }
    while (b.len > 0 && isspace((unsigned char)b.data[b.len - 1])) {
        b.data[--b.len] = '\0';
    }
    cm_buf_consume(&b, strspn(b.data, "\n" BLANKS));
    return cm_buf_steal(&b);
}

/* What stands between the first and the last line, NULL when they are not those of
 * armour. In place. */
static char *inside_armour(char *body, bool incoming)
{
    static const char begin[] = "-----BEGIN PGP MESSAGE-----",
                      end[] = "-----END PGP MESSAGE-----";
    size_t n = strlen(body);
    if (strncmp(body, begin, sizeof begin - 1) != 0 || n < sizeof begin + sizeof end ||
        strcmp(body + n - (sizeof end - 1), end) != 0) {
        return NULL;
    }
    body[n - (sizeof end - 1)] = '\0';
    body += sizeof begin - 1;
    size_t rest = strspn(body, BLANKS);
    if (body[rest] != '\n') {
        return NULL;
    }
    body += rest + 1;
    return incoming && strncmp(body, "Version: ", 9) == 0 ? body + strcspn(body, "\n")
                                                          : body;
}

/* A checksum is "=" and four characters behind the data; padding comes before. */
static bool is_armour(const struct entity *e, bool incoming)
{
    char *body = body_of(e), *base64 = inside_armour(body, incoming);
    size_t used = 0;
    bool ok = false;
    if (base64 != NULL) {
        for (const char *c = base64; *c != '\0'; c++) {
            if (!isspace((unsigned char)*c)) {
                base64[used++] = *c;
            }
        }
        base64[used] = '\0';
        if (used >= 5 && base64[used - 5] == '=' && sextet(base64[used - 1]) >= 0) {
            base64[used - 5] = '\0';
        }
        unsigned char *out = cm_malloc(used + 1);
        size_t len = from_base64(base64, out);
        ok = len > 0 && are_packets(out, len);
        free(out);
    }
    free(body);
    return ok;
}

static const char *look(const struct lines *lines, bool incoming)
{
    struct entity e, parts[PARTS_MAX];
    char type[VALUE_MAX], boundary[VALUE_MAX];
    open_entity(&e, lines, 0, lines->count);
    if (field(&e, "Content-Type", type) != 1 || !type_is(type, "multipart/encrypted")) {
        return "not one Content-Type of multipart/encrypted";
    }
    boundary_of(type, boundary);
    if (boundary[0] == '\0' || !is_plain_encoding(&e) ||
        split(&e, boundary, parts) != 2) {
        return "not two parts with nothing around them";
    }
    if (field(&parts[0], "Content-Type", type) != 1 ||
        !type_is(type, "application/pgp-encrypted") || !is_plain_encoding(&parts[0]) ||
        !says(only_line(&parts[0]), "Version: 1", false)) {
        return "the first part is not the version";
    }
    if (field(&parts[1], "Content-Type", type) != 1 ||
        !type_is(type, "application/octet-stream") || !is_plain_encoding(&parts[1])) {
        return "the second part has another type or encoding";
    }
    return is_armour(&parts[1], incoming) ? NULL : "the second part is not encrypted";
}

bool witness_encrypted(const char *text, bool incoming, const char **why_r)
{
    struct lines lines;
    cut_lines(&lines, text);
    const char *why = look(&lines, incoming);
    *why_r = why;
    clear_lines(&lines);
    return why == NULL;
}

/* ---- exceptions ---- */

static bool is_request(const char *line, const char *before, bool any_case)
{
    char vc[40], vg[40];
    snprintf(vc, sizeof vc, "%svc-request", before);
    snprintf(vg, sizeof vg, "%svg-request", before);
    return says(line, vc, any_case) || says(line, vg, any_case);
}

static bool is_securejoin(const struct entity *e)
{
    struct entity parts[PARTS_MAX];
    char value[VALUE_MAX], boundary[VALUE_MAX];
    if (field(e, "Secure-Join", value) != 1 || !is_request(value, "", false) ||
        field(e, "Content-Type", value) != 1 || !type_is(value, "multipart/mixed")) {
        return false;
    }
    boundary_of(value, boundary);
    if (boundary[0] == '\0' || split(e, boundary, parts) != 1) {
        return false;
    }
    unsigned types = field(&parts[0], "Content-Type", value);
    return (types == 0 || (types == 1 && type_is(value, "text/plain"))) &&
           is_plain_encoding(&parts[0]) &&
           is_request(only_line(&parts[0]), "Secure-Join: ", true);
}

/* Blanks may stand inside an address where it is folded. */
static bool is_report(const struct entity *e)
{
    char value[VALUE_MAX];
    if (field(e, "Auto-Submitted", value) == 0 || value[0] == '\0' ||
        field(e, "Content-Type", value) != 1 || !type_is(value, "multipart/report") ||
        field(e, "From", value) != 1) {
        return false;
    }
    size_t n = 0;
    for (const char *c = value; *c != '\0'; c++) {
        if (!isspace((unsigned char)*c)) {
            value[n++] = *c;
        }
    }
    value[n] = '\0';
    return strcasestr(value, "mailer-daemon@") != NULL;
}

bool witness_excepted(const char *text, bool incoming)
{
    struct lines lines;
    struct entity e;
    cut_lines(&lines, text);
    open_entity(&e, &lines, 0, lines.count);
    bool ok = is_securejoin(&e) || (incoming && is_report(&e));
    clear_lines(&lines);
    return ok;
}
