/* request: reads one HTTP/1.0 or 1.1 request from the bytes of a connection.
 *
 * Push bytes, take events; a few kilobytes of memory whatever comes. Strict where
 * leniency lets a request mean two things: lines end in CRLF, no folded lines, no blank
 * before a colon, Content-Length once and digits only, Transfer-Encoding "chunked"
 * only, never both. The body is not collected: it is handed on as it comes. Pure. */
#ifndef WEB_REQUEST_H
#define WEB_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define REQUEST_METHOD_MAX 16
#define REQUEST_TARGET_MAX 2048
#define REQUEST_LINE_MAX   8192         /* request line, header line, chunk line */
#define REQUEST_HEAD_MAX   (160u << 10) /* all of them together, trailers too */
#define REQUEST_FIELDS_MAX 1200

enum request_event_type {
    REQUEST_MORE,  /* all bytes were taken: push more */
    REQUEST_LINE,  /* request->method and target are known */
    REQUEST_FIELD, /* event->name (small letters) and event->value, until the next call
                    */
    REQUEST_HEAD,  /* the head is complete: request->length is known */
    REQUEST_BODY,  /* event->data, event->len: some of the body, in the bytes pushed */
    REQUEST_END,   /* complete; what may follow is not looked at */
    REQUEST_BAD    /* request->status and reason say why; nothing more can be read */
};

struct request_event {
    enum request_event_type type;
    const char *name;
    const char *value;
    const char *data;
    size_t len;
};

enum request_state {
    REQUEST_IN_LINE,
    REQUEST_IN_FIELDS,
    REQUEST_IN_BODY, /* of known length */
    REQUEST_IN_CHUNK_SIZE,
    REQUEST_IN_CHUNK,
    REQUEST_IN_CHUNK_END, /* the CRLF behind its bytes */
    REQUEST_IN_TRAILERS,
    REQUEST_AT_END,
    REQUEST_AT_BAD
};

struct request {
    enum request_state state;
    char method[REQUEST_METHOD_MAX + 1];
    char target[REQUEST_TARGET_MAX + 1]; /* begins with '/'; printable ASCII */
    bool http10;
    bool chunked;
    bool has_host;
    int64_t length; /* of the body in bytes; 0 none, -1 not known (chunked) */
    int64_t left;   /* of the body or chunk */
    bool has_length;
    size_t fields;
    size_t head; /* bytes */
    struct cm_buf line;
    bool line_spent; /* read; the next one begins anew */
    int status;      /* REQUEST_BAD: 400, 414, 431, 501 or 505 */
    const char *reason;
};

void request_init(struct request *request);
void request_clear(struct request *request);

/* Takes up to one event out of data[0..len). *used_r: how many bytes of it are spent;
 * call again with the rest. After REQUEST_END and REQUEST_BAD the same comes again. */
void request_next(struct request *request, const char *data, size_t len, size_t *used_r,
                  struct request_event *event_r);

#endif
