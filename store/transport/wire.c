#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/buf.h"
#include "common/mem.h"
#include "tls_client.h"

#define READ_SIZE  (16u << 10)
#define READ_BURST 16 /* then other connections get their turn */

struct wire {
    struct cm_loop *loop;
    int fd;
    struct cm_io *io;
    struct cm_timer *again; /* reads on, or tells that all is sent, in the next turn */
    SSL *ssl;
    bool shaking, closed, dead, inside, parting;
    bool read_again, told_drained;
    unsigned want; /* of the TLS layer, beyond plain reading */
    struct cm_buf out;
    wire_cb cb;
    void *ctx;
};

static void destroy(struct wire *w)
{
    if (w->parting && !w->closed && !w->shaking && w->out.len > 0) {
        if (w->ssl != NULL) {
            (void)SSL_write(w->ssl, w->out.data, (int)w->out.len);
            (void)SSL_shutdown(w->ssl);
            ERR_clear_error();
        } else {
            (void)!send(w->fd, w->out.data, w->out.len, MSG_NOSIGNAL);
        }
    }
    tls_client_free(&w->ssl);
    cm_io_free(&w->io);
    cm_timer_free(&w->again);
    close(w->fd);
    cm_buf_clear(&w->out);
    free(w);
}

/* From inside its own callback it is only marked: whoever called that is still at work
 * with it. */
void wire_free(struct wire **wirep)
{
    struct wire *w = *wirep;
    *wirep = NULL;
    if (w == NULL) {
        return;
    }
    if (w->inside) {
        w->dead = true;
    } else {
        destroy(w);
    }
}

void wire_finish(struct wire **wire)
{
    if (*wire != NULL) {
        (*wire)->parting = true;
        wire_free(wire);
    }
}

/* true: go on. */
static bool tell(struct wire *w, enum wire_event event, const char *data, size_t len)
{
    if (w->closed || w->dead) {
        return false;
    }
    w->closed = event == WIRE_CLOSED;
    w->cb(event, data, len, w->ctx);
    return !w->dead && !w->closed;
}

static bool fail(struct wire *w, const char *reason)
{
    return tell(w, WIRE_CLOSED, reason, strlen(reason));
}

static bool fail_tls(struct wire *w)
{
    char text[256];
    long verdict = SSL_get_verify_result(w->ssl);
    unsigned long code = ERR_get_error();
    if (w->shaking && verdict != X509_V_OK &&
        SSL_get_verify_mode(w->ssl) != SSL_VERIFY_NONE) {
        snprintf(text, sizeof(text), "TLS: certificate: %s",
                 X509_verify_cert_error_string(verdict));
    } else {
        const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
        snprintf(text, sizeof(text), "TLS: %s",
                 reason != NULL ? reason : "connection closed");
    }
    ERR_clear_error();
    return fail(w, text);
}

/* What to do about a result of OpenSSL that is not success: true when it only waits. */
static bool waits(struct wire *w, int result)
{
    switch (SSL_get_error(w->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return true;
    case SSL_ERROR_WANT_WRITE:
        w->want |= CM_IO_WRITE;
        return true;
    default:
        return false;
    }
}

static bool shake(struct wire *w)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(w->ssl);
    if (rc == 1) {
        w->shaking = false;
        return tell(w, WIRE_SECURE, NULL, 0);
    }
    return waits(w, rc) ? true : fail_tls(w);
}

/* Bytes read, 0: nothing now, -1: over (told). */
static int read_some(struct wire *w, char *data, size_t size)
{
    if (w->ssl != NULL) {
        ERR_clear_error();
        int n = SSL_read(w->ssl, data, (int)size);
        if (n > 0) {
            return n;
        }
        if (waits(w, n)) {
            return 0;
        }
        fail_tls(w);
        return -1;
    }
    ssize_t n = recv(w->fd, data, size, 0);
    if (n > 0) {
        return (int)n;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    fail(w, n == 0 ? "connection closed" : strerror(errno));
    return -1;
}

static bool read_all(struct wire *w)
{
    char data[READ_SIZE];
    for (int i = 0; i < READ_BURST && !w->shaking; i++) {
        int n = read_some(w, data, sizeof(data));
        if (n <= 0) {
            return n == 0;
        }
        if (!tell(w, WIRE_DATA, data, (size_t)n)) {
            return false;
        }
    }
    w->read_again = !w->shaking;
    return true;
}

static bool write_some(struct wire *w)
{
    while (w->out.len > 0) {
        ssize_t n;
        if (w->ssl != NULL) {
            ERR_clear_error();
            n = SSL_write(w->ssl, w->out.data, (int)w->out.len);
            if (n <= 0) {
                return waits(w, (int)n) ? true : fail_tls(w);
            }
        } else {
            n = send(w->fd, w->out.data, w->out.len, MSG_NOSIGNAL);
            if (n < 0) {
                w->want |= CM_IO_WRITE;
                return errno == EAGAIN || errno == EINTR ? true
                                                         : fail(w, strerror(errno));
            }
        }
        cm_buf_consume(&w->out, (size_t)n);
    }
    if (w->told_drained) {
        return true;
    }
    w->told_drained = true;
    return tell(w, WIRE_DRAINED, NULL, 0);
}

/* One turn: everything that can be done now, then what to wait for. */
static void work(struct wire *w, unsigned events)
{
    w->inside = true;
    w->want = 0;
    w->read_again = false;
    bool on = !w->shaking || shake(w);
    if (on && !w->shaking) {
        on = write_some(w) && ((events & CM_IO_READ) == 0 || read_all(w)) &&
             (w->out.len == 0 || write_some(w));
    }
    w->inside = false;
    if (w->dead) {
        destroy(w);
    } else if (!on || w->closed) {
        cm_io_want(w->io, 0);
    } else {
        cm_io_want(w->io, CM_IO_READ | w->want);
        bool unsent = (w->out.len > 0 || !w->told_drained) && !w->shaking;
        if (w->read_again || (unsent && (w->want & CM_IO_WRITE) == 0)) {
            cm_timer_set(w->again, 0);
        }
    }
}

static void on_io(int fd, unsigned events, void *ctx)
{
    (void)fd;
    work(ctx, events | CM_IO_READ);
}

static void on_again(void *ctx)
{
    work(ctx, CM_IO_READ);
}

struct wire *wire_new(struct cm_loop *loop, int fd, wire_cb cb, void *ctx)
{
    struct wire *w = cm_calloc(1, sizeof(*w));
    w->loop = loop;
    w->fd = fd;
    w->cb = cb;
    w->ctx = ctx;
    w->told_drained = true;
    cm_buf_init(&w->out, WIRE_OUT_MAX);
    w->io = cm_io_new(loop, fd, CM_IO_READ, on_io, w);
    w->again = cm_timer_new(loop, on_again, w);
    return w;
}

void wire_send(struct wire *w, const char *data, size_t len)
{
    cm_buf_add(&w->out, data, len);
    cm_assert(!w->out.overflow); /* the caller sends more only when drained */
    w->told_drained = false;
    if (!w->inside) {
        cm_timer_set(w->again, 0);
    }
}

void wire_secure(struct wire *w, struct wire_tls *tls, const char *host, bool verify)
{
    w->ssl = tls_client_new(tls, w->fd, host, verify);
    w->shaking = true;
    cm_timer_set(w->again, 0);
}

bool wire_resumed(const struct wire *w)
{
    return w->ssl != NULL && !w->shaking && SSL_session_reused(w->ssl) == 1;
}

void wire_hand_over(struct wire *w, wire_cb cb, void *ctx)
{
    w->cb = cb;
    w->ctx = ctx;
}
