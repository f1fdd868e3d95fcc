#include "deliver.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/mem.h"

#include "dialog.h"
#include "site.h"

#define OUT_HIGH  (64u << 10) /* then the sender waits */
#define TOO_LARGE "552 Message exceeds maximum size"
#define BUSY      "451 4.3.2 Too many messages at once"

struct delivery {
    struct exchange *x;
    struct site *site;
    struct envelope envelope;
    char refusal[512]; /* of a header; "" */
    int64_t bytes;
    bool talking; /* dialog and what follows are there */
    struct dialog dialog;
    int fd;
    struct cm_io *io; /* NULL: not connected, or over */
    struct cm_timer *timer;
};

/* Made by the first header that concerns it, or at the head. */
static struct delivery *delivery_of(struct exchange *x)
{
    struct delivery *d = x->state;
    if (d == NULL) {
        d = cm_calloc(1, sizeof(*d));
        d->x = x;
        d->site = x->site;
        d->fd = -1;
        envelope_init(&d->envelope);
        x->state = d;
    }
    return d;
}

/* Postfix */

static void hang_up(struct delivery *d)
{
    if (d->io != NULL) {
        cm_io_free(&d->io);
        close(d->fd);
        d->fd = -1;
        d->site->deliveries--;
    }
    cm_timer_free(&d->timer);
}

static void finish(struct delivery *d)
{
    const struct dialog *talk = &d->dialog;
    if (talk->out.len > 0) { /* QUIT: a courtesy that need not arrive */
        (void)!send(d->fd, talk->out.data, talk->out.len, MSG_NOSIGNAL);
    }
    hang_up(d);
    exchange_text(d->x, talk->accepted ? 200 : 400, talk->verdict);
}

static int64_t patience_ms(const struct delivery *d)
{
    return d->dialog.state == DIALOG_DOT    ? DELIVER_DOT_MS
           : d->dialog.state == DIALOG_BODY ? DELIVER_TAKE_MS
                                            : DELIVER_STEP_MS;
}

static void flush(struct delivery *d)
{
    struct cm_buf *out = &d->dialog.out;
    while (out->len > 0) {
        ssize_t n = send(d->fd, out->data, out->len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno != EAGAIN) {
            dialog_lost(&d->dialog, strerror(errno));
        }
        if (n < 0) {
            return;
        }
        cm_buf_consume(out, (size_t)n);
        cm_timer_set(d->timer, patience_ms(d));
    }
}

static void hear(struct delivery *d)
{
    char chunk[4096];
    ssize_t n = recv(d->fd, chunk, sizeof(chunk), 0);
    if (n > 0) {
        cm_timer_set(d->timer, patience_ms(d));
        dialog_heard(&d->dialog, chunk, (size_t)n);
    } else if (n == 0) {
        dialog_lost(&d->dialog, "hung up");
    } else if (errno != EAGAIN && errno != EINTR) {
        dialog_lost(&d->dialog, strerror(errno));
    }
}

/* After anything that happened: sends, waits, or ends. */
static void go_on(struct delivery *d)
{
    if (d->dialog.state != DIALOG_OVER) {
        flush(d);
    }
    if (d->dialog.state == DIALOG_OVER) {
        finish(d);
        return;
    }
    if (d->dialog.state == DIALOG_BODY && d->dialog.out.len == 0) {
        cm_timer_stop(d->timer); /* it is the sender that is waited for */
    }
    cm_io_want(d->io, CM_IO_READ | (d->dialog.out.len > 0 ? CM_IO_WRITE : 0u));
}

static void on_io(int fd, unsigned events, void *ctx)
{
    (void)fd;
    struct delivery *d = ctx;
    if (events & CM_IO_READ) {
        hear(d);
    }
    go_on(d);
    if (d->dialog.state == DIALOG_BODY && d->dialog.out.len < OUT_HIGH) {
        exchange_resume(d->x);
    }
}

static void on_timer(void *ctx)
{
    struct delivery *d = ctx;
    dialog_lost(&d->dialog, "no answer");
    go_on(d);
}

static void talk(struct delivery *d)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)d->site->conf->postfix_reinject_port_incoming),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    d->talking = true;
    dialog_init(&d->dialog, &d->envelope, d->x->length);
    d->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->fd < 0 || (connect(d->fd, (struct sockaddr *)&to, sizeof(to)) != 0 &&
                      errno != EINPROGRESS)) {
        dialog_lost(&d->dialog, strerror(errno));
        if (d->fd >= 0) {
            close(d->fd);
        }
        exchange_text(d->x, 400, d->dialog.verdict);
        return;
    }
    d->site->deliveries++;
    d->io = cm_io_new(d->site->loop, d->fd, CM_IO_READ, on_io, d);
    d->timer = cm_timer_new(d->site->loop, on_timer, d);
    cm_timer_set(d->timer, DELIVER_STEP_MS);
    exchange_pause(d->x);
}

/* The request */

void deliver_field(struct exchange *x, const char *name, const char *value)
{
    bool from = strcmp(name, "x-mail-from") == 0;
    if (!from && strcmp(name, "x-mail-to") != 0) {
        return;
    }
    struct delivery *d = delivery_of(x);
    struct cm_err err;
    int rc = (from ? envelope_from : envelope_to)(&d->envelope, value, &err);
    if (rc != 0 && d->refusal[0] == '\0') {
        snprintf(d->refusal, sizeof(d->refusal), "%.500s", err.text);
    }
}

void deliver_head(struct exchange *x)
{
    struct delivery *d = delivery_of(x);
    if (d->refusal[0] != '\0') {
        exchange_text(x, 400, d->refusal);
    } else if (x->length > d->site->conf->max_message_size) {
        exchange_text(x, 413, TOO_LARGE);
    } else if (d->envelope.count == 0) {
        return; /* nothing is to be done with the body */
    } else if (d->site->deliveries >= DELIVER_SESSIONS_MAX) {
        exchange_text(x, 400, BUSY);
    } else {
        talk(d);
    }
}

void deliver_body(struct exchange *x, const char *data, size_t len)
{
    struct delivery *d = x->state;
    d->bytes += (int64_t)len;
    if (d->bytes > d->site->conf->max_message_size) {
        hang_up(d); /* in the middle of DATA: Postfix throws it away */
        exchange_text(x, 413, TOO_LARGE);
        return;
    }
    if (!d->talking) {
        return;
    }
    d->site->delivered_bytes += len;
    dialog_body(&d->dialog, data, len);
    if (d->dialog.state == DIALOG_BODY && d->dialog.out.len >= OUT_HIGH) {
        exchange_pause(x);
    }
    cm_timer_set(d->timer, patience_ms(d));
    go_on(d);
}

void deliver_end(struct exchange *x)
{
    struct delivery *d = x->state;
    if (!d->talking) {
        exchange_text(x, 200, "250 OK");
        return;
    }
    dialog_end(&d->dialog);
    cm_timer_set(d->timer, patience_ms(d));
    go_on(d);
}

void deliver_gone(struct exchange *x)
{
    struct delivery *d = x->state;
    if (d == NULL) {
        return;
    }
    hang_up(d);
    if (d->talking) {
        dialog_clear(&d->dialog);
    }
    envelope_clear(&d->envelope);
    free(d);
}
