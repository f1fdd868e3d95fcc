#include "request.h"

#include <string.h>

#define LENGTH_DIGITS_MAX 15 /* a petabyte; nothing overflows */
#define CHUNK_DIGITS_MAX  12

void request_init(struct request *r)
{
    *r = (struct request){.state = REQUEST_IN_LINE};
    cm_buf_init(&r->line, REQUEST_LINE_MAX + 2);
}

void request_clear(struct request *r)
{
    cm_buf_clear(&r->line);
}

static enum request_event_type bad(struct request *r, int status, const char *reason)
{
    r->state = REQUEST_AT_BAD;
    r->status = status;
    r->reason = reason;
    return REQUEST_BAD;
}

/* Letters */

static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static size_t token_len(const char *s)
{
    size_t n = 0;
    while (is_token(s[n])) {
        n++;
    }
    return n;
}

static void lower(char *s)
{
    for (; *s != '\0'; s++) {
        if (*s >= 'A' && *s <= 'Z') {
            *s = (char)(*s + ('a' - 'A'));
        }
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The lines */

static enum request_event_type read_request_line(struct request *r)
{
    char *line = r->line.data;
    size_t method = token_len(line);
    if (method == 0 || line[method] != ' ') {
        return bad(r, 400, "no request line");
    }
    if (method > REQUEST_METHOD_MAX) {
        return bad(r, 501, "unknown method");
    }
    char *target = line + method + 1;
    size_t len = 0;
    while (target[len] > ' ' && target[len] < 127) {
        len++;
    }
    if (target[0] != '/' || target[len] != ' ') {
        return bad(r, 400, "no path in the request line");
    }
    if (len > REQUEST_TARGET_MAX) {
        return bad(r, 414, "path too long");
    }
    const char *version = target + len + 1;
    if (strncmp(version, "HTTP/", 5) != 0) {
        return bad(r, 400, "no HTTP version");
    }
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0) {
        return bad(r, 505, "only HTTP/1.0 and 1.1 are spoken here");
    }
    memcpy(r->method, line, method);
    memcpy(r->target, target, len);
    r->http10 = version[7] == '0';
    r->state = REQUEST_IN_FIELDS;
    return REQUEST_LINE;
}

static enum request_event_type take_length(struct request *r, const char *value)
{
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || digits > LENGTH_DIGITS_MAX || value[digits] != '\0' ||
        r->has_length) {
        return bad(r, 400, "Content-Length is not one number");
    }
    r->has_length = true;
    for (size_t i = 0; i < digits; i++) {
        r->length = r->length * 10 + (value[i] - '0');
    }
    return REQUEST_FIELD;
}

static enum request_event_type take_encoding(struct request *r, char *value)
{
    lower(value);
    if (r->chunked || r->http10) {
        return bad(r, 400, "Transfer-Encoding twice, or in HTTP/1.0");
    }
    if (strcmp(value, "chunked") != 0) {
        return bad(r, 501, "unknown Transfer-Encoding");
    }
    r->chunked = true;
    return REQUEST_FIELD;
}

/* Cuts "Name: value" into its parts. */
static enum request_event_type split_field(struct request *r,
                                           struct request_event *event)
{
    char *line = r->line.data;
    size_t name = token_len(line);
    if (name == 0 || line[name] != ':') {
        return bad(r, 400, "a header line without a name");
    }
    line[name] = '\0';
    lower(line);
    char *value = line + name + 1;
    value += strspn(value, " \t");
    char *end = value + strlen(value);
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    *end = '\0';
    for (const char *c = value; c < end; c++) {
        if ((unsigned char)*c < ' ' ? *c != '\t' : *c == 127) {
            return bad(r, 400, "a control character in a header");
        }
    }
    event->name = line;
    event->value = value;
    return REQUEST_FIELD;
}

static enum request_event_type read_field(struct request *r,
                                          struct request_event *event)
{
    if (++r->fields > REQUEST_FIELDS_MAX) {
        return bad(r, 431, "too many header lines");
    }
    if (split_field(r, event) == REQUEST_BAD) {
        return REQUEST_BAD;
    }
    char *value = r->line.data + (event->value - r->line.data);
    if (strcmp(event->name, "content-length") == 0) {
        return take_length(r, value);
    }
    if (strcmp(event->name, "transfer-encoding") == 0) {
        return take_encoding(r, value);
    }
    if (strcmp(event->name, "host") == 0) {
        if (r->has_host) {
            return bad(r, 400, "Host twice");
        }
        r->has_host = true;
    }
    return REQUEST_FIELD;
}

static enum request_event_type end_head(struct request *r)
{
    if (r->chunked && r->has_length) {
        return bad(r, 400, "Content-Length beside Transfer-Encoding");
    }
    if (!r->http10 && !r->has_host) {
        return bad(r, 400, "no Host");
    }
    if (r->chunked) {
        r->length = -1;
        r->state = REQUEST_IN_CHUNK_SIZE;
    } else {
        r->left = r->length;
        r->state = r->length > 0 ? REQUEST_IN_BODY : REQUEST_AT_END;
    }
    return REQUEST_HEAD;
}

static enum request_event_type read_chunk_size(struct request *r)
{
    const char *line = r->line.data;
    size_t digits = 0;
    r->left = 0;
    for (int d; (d = hex_digit(line[digits])) >= 0; digits++) {
        if (digits == CHUNK_DIGITS_MAX) {
            return bad(r, 400, "a chunk too large");
        }
        r->left = r->left * 16 + d;
    }
    const char *behind = line + digits + strspn(line + digits, " \t");
    if (digits == 0 || (*behind != '\0' && *behind != ';')) {
        return bad(r, 400, "no size of a chunk");
    }
    r->state = r->left > 0 ? REQUEST_IN_CHUNK : REQUEST_IN_TRAILERS;
    return REQUEST_MORE;
}

static enum request_event_type read_trailer(struct request *r)
{
    if (r->line.len == 0) {
        r->state = REQUEST_AT_END;
        return REQUEST_END;
    }
    return REQUEST_MORE; /* nobody here wants them */
}

static enum request_event_type read_line(struct request *r, struct request_event *event)
{
    switch (r->state) {
    case REQUEST_IN_LINE:
        return read_request_line(r);
    case REQUEST_IN_FIELDS:
        return r->line.len == 0 ? end_head(r) : read_field(r, event);
    case REQUEST_IN_CHUNK_SIZE:
        return read_chunk_size(r);
    case REQUEST_IN_CHUNK_END:
        if (r->line.len > 0) {
            return bad(r, 400, "a chunk longer than its size");
        }
        r->state = REQUEST_IN_CHUNK_SIZE;
        return REQUEST_MORE;
    default:
        return read_trailer(r);
    }
}

/* Bytes */

/* Adds to the line; true when it is complete, without its CRLF. */
static bool take_line(struct request *r, const char *data, size_t len, size_t *used_r)
{
    const char *lf = memchr(data, '\n', len);
    size_t n = lf != NULL ? (size_t)(lf - data) + 1 : len;
    *used_r = n;
    if (r->state != REQUEST_IN_CHUNK_SIZE && r->state != REQUEST_IN_CHUNK_END) {
        r->head += n;
    }
    if (r->line_spent) {
        cm_buf_reset(&r->line);
        r->line_spent = false;
    }
    cm_buf_add(&r->line, data, n);
    if (r->line.overflow || r->head > REQUEST_HEAD_MAX) {
        bad(r, r->state == REQUEST_IN_LINE ? 414 : 431, "the head is too long");
        return false;
    }
    if (lf == NULL) {
        return false;
    }
    if (r->line.len < 2 || r->line.data[r->line.len - 2] != '\r') {
        bad(r, 400, "a line that does not end in CRLF");
        return false;
    }
    r->line.len -= 2;
    r->line.data[r->line.len] = '\0';
    if (memchr(r->line.data, '\0', r->line.len) != NULL ||
        memchr(r->line.data, '\r', r->line.len) != NULL) {
        bad(r, 400, "a control character in the head");
        return false;
    }
    return true;
}

static void take_body(struct request *r, const char *data, size_t len, size_t *used_r,
                      struct request_event *event)
{
    size_t n = (uint64_t)r->left < len ? (size_t)r->left : len;
    *used_r = n;
    r->left -= (int64_t)n;
    event->type = n > 0 ? REQUEST_BODY : REQUEST_MORE;
    event->data = data;
    event->len = n;
    if (r->left == 0) {
        r->state = r->chunked ? REQUEST_IN_CHUNK_END : REQUEST_AT_END;
    }
}

static bool is_over(const struct request *r, struct request_event *event)
{
    if (r->state == REQUEST_AT_END || r->state == REQUEST_AT_BAD) {
        event->type = r->state == REQUEST_AT_END ? REQUEST_END : REQUEST_BAD;
        return true;
    }
    return false;
}

void request_next(struct request *r, const char *data, size_t len, size_t *used_r,
                  struct request_event *event_r)
{
    size_t used = 0;
    *event_r = (struct request_event){.type = REQUEST_MORE};
    while (event_r->type == REQUEST_MORE && !is_over(r, event_r) && used < len) {
        size_t n = 0;
        if (r->state == REQUEST_IN_BODY || r->state == REQUEST_IN_CHUNK) {
            take_body(r, data + used, len - used, &n, event_r);
        } else if (take_line(r, data + used, len - used, &n)) {
            event_r->type = read_line(r, event_r);
            r->line_spent = true;
        }
        used += n;
    }
    *used_r = used;
}
