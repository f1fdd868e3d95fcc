/* http: requests over HTTPS on the loop (libcurl behind this one file).
 *
 * Names are not looked up here: the caller brings the addresses, and may bind where
 * connections leave from. Redirects are not followed. Connections are kept and shared
 * (HTTP/2 where the peer has it), at most HTTP_IDLE_MAX that nobody uses. The answer's
 * body is kept up to response_max bytes, the rest is read and dropped. */
#ifndef TRANSPORT_HTTP_H
#define TRANSPORT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"
#include "peer.h"

#define HTTP_IDLE_MAX 64

struct http;
struct http_request;

struct http_options {
    const char *host; /* a name, or an address */
    uint16_t port;
    const char *path;                     /* "/mxdeliv" */
    const struct peer_address *addresses; /* one at least that fits source */
    size_t address_count;
    const struct peer_source *source; /* copied */
    bool verify;                      /* the certificate */
    bool fresh;                       /* not over a connection that is there already */
    const char *const *headers; /* "Name: value" lines, ended by NULL; may be NULL */
    /* A body makes it a POST. Called with ever growing offsets, or from 0 again;
     * returns the bytes given, 0 at the end, -1 to give up. */
    int64_t (*body)(uint64_t offset, char *out, size_t size, void *ctx);
    uint64_t body_len;
    size_t response_max;
    int64_t connect_ms, total_ms;
};

struct http_result {
    int status;       /* 0: no answer, err says why */
    bool connected;   /* with status 0: TLS was up before it failed */
    const char *body; /* NUL-terminated, at most response_max bytes */
    size_t body_len;
};

struct http *http_new(struct cm_loop *loop, const char *ca_file);
void http_free(struct http **http); /* no request may be open */

/* Exactly one call, never before http_start() returns; the request is gone then. */
typedef void (*http_cb)(const struct http_result *result, const struct cm_err *err,
                        void *ctx);
/* Everything in options is copied, but for what body and ctx lead to. */
struct http_request *http_start(struct http *http, const struct http_options *options,
                                http_cb cb, void *ctx);
void http_cancel(struct http_request **request);

#endif
