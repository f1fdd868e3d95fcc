#include "talk.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

struct op_talk {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    int64_t limit_ms;
    char in[OP_TALK_LINE];
    size_t in_len;
};

/* What a TLS call that did not get through waits for. 1 go on, 0 too late, -1 over. */
static int wait_turn(struct op_talk *t, int rc, int64_t until_ms, struct cm_err *err)
{
    int why = SSL_get_error(t->ssl, rc);
    int64_t left = until_ms - cm_now_mono_ms();
    struct pollfd p = {.fd = t->fd,
                       .events = why == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN};

    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        return cm_err_set(err, CM_ERR_RETRY, "%s",
                          why == SSL_ERROR_ZERO_RETURN || reason == NULL
                              ? "the connection was closed"
                              : reason);
    }
    if (left <= 0 || poll(&p, 1, (int)left) == 0) {
        (void)cm_err_set(err, CM_ERR_RETRY, "no answer");
        return 0;
    }
    return 1;
}

static int shake_hands(struct op_talk *t, const char *name, struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + t->limit_ms;
    char asked[256]; /* the macro casts const away */
    int rc;

    snprintf(asked, sizeof(asked), "%s", name);
    t->ctx = SSL_CTX_new(TLS_client_method());
    t->ssl = t->ctx != NULL ? SSL_new(t->ctx) : NULL;
    if (t->ssl == NULL || SSL_set_fd(t->ssl, t->fd) != 1 ||
        SSL_set_tlsext_host_name(t->ssl, asked) != 1) {
        return cm_err_set(err, CM_ERR_WORLD, "OpenSSL cannot be used");
    }
    ERR_clear_error();
    while ((rc = SSL_connect(t->ssl)) != 1) {
        if (wait_turn(t, rc, until, err) != 1) {
            return cm_err_prefix(err, "TLS");
        }
    }
    return 0;
}

struct op_talk *op_talk_open(const char *address, uint16_t port, const char *name,
                             int64_t limit_ms, enum op_reach *reach_r,
                             struct cm_err *err)
{
    char said[120];
    int fd;

    *reach_r = op_reach_open(address, port, limit_ms, &fd, said, sizeof(said));
    if (*reach_r != OP_REACH_OK) {
        (void)cm_err_set(err, CM_ERR_RETRY, "%s port %u: %s", address, port, said);
        return NULL;
    }
    struct op_talk *t = cm_calloc(1, sizeof(*t));
    t->fd = fd;
    t->limit_ms = limit_ms;
    if (shake_hands(t, name, err) != 0) {
        (void)cm_err_prefix(err, "%s port %u", address, port);
        op_talk_close(&t);
    }
    return t;
}

void op_talk_close(struct op_talk **talkp)
{
    struct op_talk *t = *talkp;

    if (t == NULL) {
        return;
    }
    SSL_free(t->ssl);
    SSL_CTX_free(t->ctx);
    close(t->fd);
    free(t);
    *talkp = NULL;
}

int op_talk_say(struct op_talk *t, const char *text, struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + t->limit_ms;
    int rc, len = (int)strlen(text);

    ERR_clear_error();
    while ((rc = SSL_write(t->ssl, text, len)) <= 0) {
        if (wait_turn(t, rc, until, err) != 1) {
            return -1;
        }
    }
    return 0;
}

static bool take_line(struct op_talk *t, char line[OP_TALK_LINE])
{
    char *lf = memchr(t->in, '\n', t->in_len);

    if (lf == NULL) {
        return false;
    }
    size_t n = (size_t)(lf - t->in), used = n + 1;
    n -= n > 0 && t->in[n - 1] == '\r';
    memcpy(line, t->in, n);
    line[n] = '\0';
    t->in_len -= used;
    memmove(t->in, t->in + used, t->in_len);
    return true;
}

int op_talk_hear(struct op_talk *t, int64_t limit_ms, char line[OP_TALK_LINE],
                 struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + limit_ms;

    while (!take_line(t, line)) {
        if (t->in_len == sizeof(t->in)) {
            return cm_err_set(err, CM_ERR_REFUSE, "a line too long");
        }
        ERR_clear_error();
        int n = SSL_read(t->ssl, t->in + t->in_len, (int)(sizeof(t->in) - t->in_len));
        if (n > 0) {
            t->in_len += (size_t)n;
            continue;
        }
        int rc = wait_turn(t, n, until, err);
        if (rc != 1) {
            return rc;
        }
    }
    return 1;
}

int64_t op_talk_cert_end_s(const struct op_talk *t)
{
    const X509 *cert = SSL_get0_peer_certificate(t->ssl);
    struct tm tm;

    return cert != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1
               ? (int64_t)timegm(&tm)
               : -1;
}
