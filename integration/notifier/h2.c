#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#include "talk.h"

#define OUTPUT_ENOUGH (256u << 10)

struct stream {
    struct stream *prev, *next;
    bool post, notify, too_big;
    struct cm_buf body;
};

struct h2 {
    struct talk talk;
    nghttp2_session *session;
    struct stream *first; /* those that nghttp2 has not closed yet */
};

static struct h2 *h2_of(struct talk *talk)
{
    return (struct h2 *)(void *)talk;
}

/* ---- streams ---- */

static struct stream *stream_new(struct h2 *h2)
{
    struct stream *s = cm_calloc(1, sizeof(*s));

    cm_buf_init(&s->body, TALK_BODY_MAX + 1);
    s->next = h2->first;
    if (s->next != NULL)
        s->next->prev = s;
    h2->first = s;
    return s;
}

static void stream_free(struct h2 *h2, struct stream *s)
{
    *(s->prev != NULL ? &s->prev->next : &h2->first) = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    cm_buf_clear(&s->body);
    free(s);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame,
                            void *ctx)
{
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
                                             stream_new(ctx));
    return 0;
}

static bool is_text(const uint8_t *data, size_t len, const char *text)
{
    return len == strlen(text) && memcmp(data, text, len) == 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
                     const uint8_t *name, size_t name_len, const uint8_t *value,
                     size_t value_len, uint8_t flags, void *ctx)
{
    struct stream *s =
        nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags;
    (void)ctx;
    if (s != NULL && is_text(name, name_len, ":method"))
        s->post = is_text(value, value_len, "POST");
    else if (s != NULL && is_text(name, name_len, ":path"))
        s->notify = is_text(value, value_len, "/notify");
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id,
                   const uint8_t *data, size_t len, void *ctx)
{
    struct stream *s = nghttp2_session_get_stream_user_data(session, id);

    (void)flags;
    (void)ctx;
    if (s != NULL && s->body.len + len <= TALK_BODY_MAX)
        cm_buf_add(&s->body, data, len);
    else if (s != NULL)
        s->too_big = true;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct h2 *h2 = ctx;
    bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    bool request = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    struct stream *s =
        nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    if (s != NULL && request && last)
        h2->talk.request(h2->talk.ctx, frame->hd.stream_id,
                         s->post && s->notify && !s->too_big, s->body.data,
                         s->body.len);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
    struct stream *s = nghttp2_session_get_stream_user_data(session, id);

    (void)code;
    if (s != NULL)
        stream_free(ctx, s);
    return 0;
}

/* ---- the talk ---- */

static int input(struct talk *talk, const void *data, size_t len)
{
    ssize_t n = nghttp2_session_mem_recv(h2_of(talk)->session, data, len);

    return n == (ssize_t)len ? 0 : -1;
}

static void answer(struct talk *talk, int32_t id, int status)
{
    static const char name[] = ":status", zero[] = "content-length";
    char value[16];
    nghttp2_nv nv[2];

    snprintf(value, sizeof(value), "%d", status);
    nv[0] = (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)value, strlen(name),
                         strlen(value), NGHTTP2_NV_FLAG_NONE};
    nv[1] = (nghttp2_nv){(uint8_t *)(uintptr_t)zero, (uint8_t *)(uintptr_t) "0",
                         strlen(zero), 1, NGHTTP2_NV_FLAG_NONE};
    (void)nghttp2_submit_response(h2_of(talk)->session, id, nv, 2, NULL);
}

static void output(struct talk *talk, struct cm_buf *out)
{
    const uint8_t *data;
    ssize_t n;

    while (out->len < OUTPUT_ENOUGH &&
           (n = nghttp2_session_mem_send(h2_of(talk)->session, &data)) > 0)
        cm_buf_add(out, data, (size_t)n);
}

static bool is_over(struct talk *talk)
{
    struct h2 *h2 = h2_of(talk);

    return !nghttp2_session_want_read(h2->session) &&
           !nghttp2_session_want_write(h2->session);
}

static void free_talk(struct talk *talk)
{
    struct h2 *h2 = h2_of(talk);

    nghttp2_session_del(h2->session);
    while (h2->first != NULL)
        stream_free(h2, h2->first);
    free(h2);
}

static const struct talk_ops ops = {.input = input,
                                    .answer = answer,
                                    .output = output,
                                    .is_over = is_over,
                                    .free = free_talk};

struct talk *talk_h2_new(talk_request_cb request, void *ctx)
{
    struct h2 *h2 = cm_calloc(1, sizeof(*h2));
    nghttp2_session_callbacks *cb;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, TALK_STREAMS_MAX}};

    h2->talk = (struct talk){.ops = &ops, .request = request, .ctx = ctx};
    cm_assert(nghttp2_session_callbacks_new(&cb) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    cm_assert(nghttp2_session_server_new(&h2->session, cb, h2) == 0);
    nghttp2_session_callbacks_del(cb);
    cm_assert(nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, 1) ==
              0);
    return &h2->talk;
}
