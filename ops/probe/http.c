#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/mem.h"

void http_answer_clear(struct http_answer *answer)
{
    free(answer->head);
    free(answer->body);
    *answer = (struct http_answer){.status = 0};
}

void http_field(const struct http_answer *answer, const char *name, char *out,
                size_t size)
{
    size_t len = strlen(name);
    out[0] = '\0';
    for (const char *p = strchr(answer->head, '\n'); p != NULL; p = strchr(p, '\n')) {
        p++;
        if (strncasecmp(p, name, len) == 0 && p[len] == ':') {
            p += len + 1;
            p += strspn(p, " ");
            snprintf(out, size, "%.*s", (int)strcspn(p, "\n"), p);
            return;
        }
    }
}

/* A peer that answers early closes early: what it said counts, not that the rest could
 * not be written. */
static void send_request(struct wire *wire, const struct http_request *r)
{
    struct cm_err unheard;
    char length[64] = "";
    if (r->body != NULL) {
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(r->body));
    }
    char *head = cm_asprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
                             "%s%s\r\n",
                             r->method, r->target, r->host,
                             r->fields != NULL ? r->fields : "", length);
    if (wire_write(wire, head, &unheard) == 0 && r->body != NULL) {
        (void)!wire_write(wire, r->body, &unheard);
    }
    free(head);
}

static int read_head(struct wire *wire, struct http_answer *a, struct cm_err *err)
{
    char line[WIRE_LINE];
    struct cm_buf head;
    cm_buf_init(&head, 1u << 20);
    int rc;
    while ((rc = wire_line(wire, line, err)) == 1 && line[0] != '\0') {
        cm_buf_fmt(&head, "%s\n", line);
    }
    a->head = cm_buf_steal(&head);
    if (rc == 1 && sscanf(a->head, "HTTP/1.1 %d", &a->status) == 1) {
        return 0;
    }
    return rc < 0 ? -1 : cm_err_set(err, CM_ERR_RETRY, "no HTTP answer");
}

static int read_body(struct wire *wire, struct http_answer *a, struct cm_err *err)
{
    char chunk[4096], length[32];
    struct cm_buf body;
    http_field(a, "Content-Length", length, sizeof length);
    size_t want = length[0] != '\0' ? (size_t)atol(length) : HTTP_BODY_MAX;
    cm_buf_init(&body, HTTP_BODY_MAX);
    int n = 1;
    while (body.len < want && (n = wire_some(wire, chunk, sizeof chunk, err)) > 0) {
        cm_buf_add(&body, chunk, (size_t)n);
    }
    bool whole = !body.overflow && (n >= 0 || length[0] == '\0') &&
                 (length[0] == '\0' || body.len == want);
    if (whole) {
        a->body = cm_buf_steal(&body);
        return 0;
    }
    cm_buf_clear(&body);
    return cm_err_set(err, CM_ERR_RETRY, "the answer is cut off");
}

int http_ask(const struct wire_to *to, bool plain, const struct http_request *request,
             struct http_answer *answer_r, struct cm_err *err)
{
    struct http_answer a = {.status = 0};
    struct wire *wire = wire_open(to, err);
    if (wire == NULL) {
        return -1;
    }
    int rc = plain || to->port == 80 ? 0 : wire_tls(wire, "http/1.1", err);
    if (rc == 0) {
        send_request(wire, request);
        rc = read_head(wire, &a, err);
    }
    if (rc == 0) {
        rc = read_body(wire, &a, err);
    }
    wire_close(&wire);
    if (rc == 0) {
        *answer_r = a;
    } else {
        http_answer_clear(&a);
    }
    return rc;
}
