/* http: one HTTP/1.1 request and its answer, reported and not judged. */
#ifndef PROBE_HTTP_H
#define PROBE_HTTP_H

#include <stddef.h>

#include "common/err.h"
#include "probe/wire.h"

#define HTTP_BODY_MAX (4u << 20)

struct http_request {
    const char *method;
    const char *target;
    const char *host;
    const char *fields; /* more header lines, each with its CRLF; NULL: none */
    const char *body;   /* NULL: none, and no Content-Length */
};

struct http_answer {
    int status;
    char *head; /* all lines, LF between them */
    char *body;
};

/* Over TLS unless the port is that of plain HTTP (80, or plain is set). An answer that
 * comes before the request is out counts. *answer_r is to be cleared after success. */
CM_MUSTUSE int http_ask(const struct wire_to *to, bool plain,
                        const struct http_request *request,
                        struct http_answer *answer_r, struct cm_err *err);
void http_answer_clear(struct http_answer *answer);

/* The value of a header, without blanks at its ends; "" when it is not there. Valid as
 * long as the answer; out: size bytes. */
void http_field(const struct http_answer *answer, const char *name, char *out,
                size_t size);

#endif
