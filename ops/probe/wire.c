#include "wire.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/mem.h"

#include "netns.h"

struct wire {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl; /* NULL while plain */
    const char *name;
    char local[NI_MAXHOST];
    char data[WIRE_LINE];
    size_t len;
};

static void set_timeouts(int fd, int64_t timeout_ms)
{
    int64_t ms = timeout_ms > 0 ? timeout_ms : WIRE_TIMEOUT_MS;
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv); /* connect(2) too */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int connect_to(struct wire *wire, const struct wire_to *to, struct cm_err *err)
{
    char port[16];
    snprintf(port, sizeof port, "%d", to->port);
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *ai = NULL;
    int rc = getaddrinfo(to->host, port, &hints, &ai);
    if (rc != 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s: %s", to->host, gai_strerror(rc));
    }
    wire->fd = netns_socket(to->netns, ai->ai_family, SOCK_STREAM, err);
    if (wire->fd >= 0) {
        set_timeouts(wire->fd, to->timeout_ms);
        rc = connect(wire->fd, ai->ai_addr, ai->ai_addrlen);
        if (rc != 0) {
            int why = errno == EINPROGRESS ? ETIMEDOUT : errno;
            cm_err_set(err, CM_ERR_RETRY, "%s port %d: %s", to->host, to->port,
                       strerror(why));
        }
    }
    freeaddrinfo(ai);
    return wire->fd < 0 ? -1 : rc;
}

static void note_local(struct wire *wire)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (getsockname(wire->fd, (struct sockaddr *)&ss, &len) == 0) {
        getnameinfo((struct sockaddr *)&ss, len, wire->local, sizeof wire->local, NULL,
                    0, NI_NUMERICHOST);
    }
}

struct wire *wire_open(const struct wire_to *to, struct cm_err *err)
{
    struct wire *wire = cm_calloc(1, sizeof *wire);
    wire->fd = -1;
    /* OpenSSL writes with write(2): a peer that hangs up must be an error, not the end.
     */
    signal(SIGPIPE, SIG_IGN);
    if (connect_to(wire, to, err) != 0) {
        wire_close(&wire);
        return NULL;
    }
    wire->name = to->name;
    note_local(wire);
    return wire;
}

void wire_close(struct wire **wire)
{
    struct wire *w = *wire;
    if (w == NULL) {
        return;
    }
    SSL_free(w->ssl);
    SSL_CTX_free(w->ctx);
    if (w->fd >= 0) {
        close(w->fd);
    }
    free(w);
    *wire = NULL;
}

static int tls_trouble(const char *what, struct cm_err *err)
{
    unsigned long code = ERR_peek_last_error();
    char text[160] = "time-out or lost connection";
    if (code != 0) {
        ERR_error_string_n(code, text, sizeof text);
    }
    ERR_clear_error();
    return cm_err_set(err, CM_ERR_RETRY, "%s: %s", what, text);
}

static void offer_alpn(SSL *ssl, const char *alpn)
{
    unsigned char list[64];
    size_t n = strlen(alpn);
    cm_assert(n < sizeof list);
    list[0] = (unsigned char)n;
    memcpy(list + 1, alpn, n);
    SSL_set_alpn_protos(ssl, list, (unsigned)n + 1);
}

int wire_tls(struct wire *wire, const char *alpn, struct cm_err *err)
{
    cm_assert(wire->ssl == NULL);
    if (wire->len != 0) {
        return cm_err_set(err, CM_ERR_RETRY, "plain bytes behind the STARTTLS answer");
    }
    ERR_clear_error();
    wire->ctx = SSL_CTX_new(TLS_client_method());
    cm_assert(wire->ctx != NULL);
    SSL_CTX_set_verify(wire->ctx, SSL_VERIFY_NONE, NULL);
    wire->ssl = SSL_new(wire->ctx);
    cm_assert(wire->ssl != NULL);
    if (alpn != NULL) {
        offer_alpn(wire->ssl, alpn);
    }
    if (wire->name != NULL) {
        char *name = cm_strdup(wire->name); /* the macro takes no const */
        SSL_set_tlsext_host_name(wire->ssl, name);
        free(name);
    }
    SSL_set_fd(wire->ssl, wire->fd);
    if (SSL_connect(wire->ssl) != 1) {
        return tls_trouble("TLS handshake", err);
    }
    return 0;
}

int wire_write(struct wire *wire, const char *text, struct cm_err *err)
{
    size_t n = strlen(text);
    size_t done = 0;
    while (done < n) {
        ssize_t rc;
        if (wire->ssl != NULL) {
            ERR_clear_error();
            rc = SSL_write(wire->ssl, text + done, (int)(n - done));
        } else {
            rc = send(wire->fd, text + done, n - done, MSG_NOSIGNAL);
        }
        if (rc <= 0) {
            return wire->ssl != NULL
                       ? tls_trouble("write", err)
                       : cm_err_set(err, CM_ERR_RETRY, "write: %s", strerror(errno));
        }
        done += (size_t)rc;
    }
    return 0;
}

/* Returns bytes added, 0 at the end of the stream, -1. */
static int fill(struct wire *wire, struct cm_err *err)
{
    char *at = wire->data + wire->len;
    size_t room = sizeof wire->data - wire->len;
    if (room == 0) {
        return cm_err_set(err, CM_ERR_RETRY, "a line over %d bytes", WIRE_LINE);
    }
    ssize_t rc;
    if (wire->ssl != NULL) {
        ERR_clear_error();
        rc = SSL_read(wire->ssl, at, (int)room);
        int why = rc > 0 ? SSL_ERROR_NONE : SSL_get_error(wire->ssl, (int)rc);
        if (why == SSL_ERROR_ZERO_RETURN) {
            return 0;
        }
        if (rc <= 0) {
            return tls_trouble("read", err);
        }
    } else {
        rc = recv(wire->fd, at, room, 0);
        if (rc < 0) {
            return cm_err_set(err, CM_ERR_RETRY, "read: %s",
                              errno == EAGAIN ? "time-out" : strerror(errno));
        }
    }
    wire->len += (size_t)rc;
    return (int)rc;
}

int wire_line(struct wire *wire, char line[WIRE_LINE], struct cm_err *err)
{
    char *end;
    while ((end = memchr(wire->data, '\n', wire->len)) == NULL) {
        int rc = fill(wire, err);
        if (rc <= 0) {
            return rc;
        }
    }
    size_t n = (size_t)(end - wire->data);
    size_t text = n > 0 && wire->data[n - 1] == '\r' ? n - 1 : n;
    memcpy(line, wire->data, text);
    line[text] = '\0';
    wire->len -= n + 1;
    memmove(wire->data, end + 1, wire->len);
    return 1;
}

int wire_some(struct wire *wire, char *out, size_t size, struct cm_err *err)
{
    int rc = wire->len > 0 ? 1 : fill(wire, err);
    if (rc <= 0) {
        return rc;
    }
    size_t n = wire->len < size ? wire->len : size;
    memcpy(out, wire->data, n);
    wire->len -= n;
    memmove(wire->data, wire->data + n, wire->len);
    return (int)n;
}

bool wire_ready(const struct wire *wire, int64_t limit_ms)
{
    struct pollfd p = {.fd = wire->fd, .events = POLLIN};
    if (wire->len > 0 || (wire->ssl != NULL && SSL_pending(wire->ssl) > 0)) {
        return true;
    }
    return poll(&p, 1, (int)limit_ms) > 0;
}

const char *wire_local(const struct wire *wire)
{
    return wire->local;
}
