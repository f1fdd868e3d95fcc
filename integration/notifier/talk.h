/* talk: HTTP on one connection, bytes in and bytes out; HTTP/2 by nghttp2 (h2.c) or a
 * plain HTTP/1.1 with Content-Length (h1.c). Knows no socket. */
#ifndef NOTIFIER_TALK_H
#define NOTIFIER_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define TALK_BODY_MAX    65536
#define TALK_HEADER_MAX  16384 /* HTTP/1.1: request line and headers */
#define TALK_STREAMS_MAX 1000  /* HTTP/2: at a time */

struct talk;

/* A request is whole. notify: it was a POST of /notify with a body of good size. May
 * call talk_answer, not talk_free. */
typedef void (*talk_request_cb)(void *ctx, int32_t stream, bool notify,
                                const char *body, size_t len);

struct talk_ops {
    int (*input)(struct talk *talk, const void *data, size_t len);
    void (*answer)(struct talk *talk, int32_t stream, int status);
    void (*output)(struct talk *talk, struct cm_buf *out);
    bool (*is_over)(struct talk *talk);
    void (*free)(struct talk *talk);
};

struct talk {
    const struct talk_ops *ops;
    talk_request_cb request;
    void *ctx;
};

struct talk *talk_h2_new(talk_request_cb request, void *ctx);
struct talk *talk_h1_new(talk_request_cb request, void *ctx);

/* 0, or -1 when the peer does not speak the protocol: close. */
static inline int talk_input(struct talk *talk, const void *data, size_t len)
{
    return talk->ops->input(talk, data, len);
}

/* Once per request, any time later; a stream that is gone is no error. */
static inline void talk_answer(struct talk *talk, int32_t stream, int status)
{
    talk->ops->answer(talk, stream, status);
}

/* Appends what is to be sent now, about 256 KiB at most. */
static inline void talk_output(struct talk *talk, struct cm_buf *out)
{
    talk->ops->output(talk, out);
}

/* Nothing more will be read or written. */
static inline bool talk_is_over(struct talk *talk)
{
    return talk->ops->is_over(talk);
}

static inline void talk_free(struct talk **talk)
{
    if (*talk != NULL)
        (*talk)->ops->free(*talk);
    *talk = NULL;
}

#endif
