#include "dns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/conf.h"
#include "common/file.h"
#include "common/mem.h"
#include "dns_packet.h"

#define RESOLV_CONF  "/etc/resolv.conf"
#define SERVERS_MAX  3
#define QUESTION_MAX 512
#define UDP_MAX      4096
#define TCP_MAX      (65535 + 2)

/* When each try begins, after the first. */
static const int64_t tries_ms[DNS_TRIES] = {0, 1000, 2000, 4000, 6000, 9000};

struct server {
    struct peer_address address;
    uint16_t port;
};

struct dns {
    struct cm_loop *loop;
    bool fixed; /* the servers were named by the caller */
    struct server servers[SERVERS_MAX];
    size_t server_count;
    struct timespec conf_mtime;
    size_t open;
};

struct socket_of {
    struct dns_question *q;
    size_t server;
    int fd;
    struct cm_io *io; /* NULL: not in use */
};

struct dns_question {
    struct dns *dns;
    char name[DOMAIN_NAME_MAX];
    enum dns_type type;
    uint16_t id;
    unsigned char packet[QUESTION_MAX];
    size_t packet_len;
    struct server servers[SERVERS_MAX];
    size_t server_count;
    struct socket_of udp[SERVERS_MAX];
    struct socket_of tcp;
    struct cm_buf tcp_in;
    bool tcp_sent;
    size_t tries;
    struct cm_timer *next, *limit;
    char reason[96];
    dns_cb cb;
    void *ctx;
};

/* Servers */

static void add_server(struct dns *dns, const char *text, uint16_t port)
{
    struct server s = {.port = port};
    if (dns->server_count < SERVERS_MAX && peer_address_parse(text, &s.address)) {
        dns->servers[dns->server_count++] = s;
    }
}

static void read_conf(struct dns *dns)
{
    struct stat st;
    char *text = NULL, *rest = NULL;
    struct cm_err err;
    if (dns->fixed || stat(RESOLV_CONF, &st) != 0 ||
        (st.st_mtim.tv_sec == dns->conf_mtime.tv_sec &&
         st.st_mtim.tv_nsec == dns->conf_mtime.tv_nsec && dns->server_count > 0) ||
        cm_file_read(RESOLV_CONF, 64u << 10, &text, NULL, &err) != 1) {
        return;
    }
    dns->conf_mtime = st.st_mtim;
    dns->server_count = 0;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char word[16], address[64];
        if (sscanf(line, "%15s %63s", word, address) == 2 &&
            strcmp(word, "nameserver") == 0) {
            add_server(dns, address, 53);
        }
    }
    free(text);
    if (dns->server_count == 0) {
        add_server(dns, "127.0.0.1", 53); /* as resolv.conf(5) says */
    }
}

struct dns *dns_new(struct cm_loop *loop, const char *server, struct cm_err *err)
{
    struct dns *dns = cm_calloc(1, sizeof(*dns));
    dns->loop = loop;
    if (server != NULL) {
        char text[64];
        int64_t port = 53;
        snprintf(text, sizeof(text), "%s", server);
        char *hash = strchr(text, '#');
        if (hash != NULL) {
            *hash = '\0';
        }
        if (hash == NULL || cm_value_int(hash + 1, 1, 65535, &port, err) == 0) {
            add_server(dns, text, (uint16_t)port);
        }
        if (dns->server_count == 0) {
            free(dns);
            (void)cm_err_set(err, CM_ERR_WORLD, "not a resolver: %s", server);
            return NULL;
        }
        dns->fixed = true;
    }
    return dns;
}

void dns_free(struct dns **dns)
{
    cm_assert(*dns == NULL || (*dns)->open == 0);
    free(*dns);
    *dns = NULL;
}

/* The end of a question */

static void socket_close(struct socket_of *s)
{
    if (s->io != NULL) {
        cm_io_free(&s->io);
        close(s->fd);
    }
}

void dns_cancel(struct dns_question **qp)
{
    struct dns_question *q = *qp;
    if (q == NULL) {
        return;
    }
    for (size_t i = 0; i < SERVERS_MAX; i++) {
        socket_close(&q->udp[i]);
    }
    socket_close(&q->tcp);
    cm_buf_clear(&q->tcp_in);
    cm_timer_free(&q->next);
    cm_timer_free(&q->limit);
    q->dns->open--;
    free(q);
    *qp = NULL;
}

static void finish(struct dns_question *q, const struct dns_found *found)
{
    struct dns_answer answer = {.status = found->status,
                                .ttl_s = found->ttl_s,
                                .count = found->count,
                                .records = found->records,
                                .reason = found->reason};
    dns_cb cb = q->cb;
    void *ctx = q->ctx;
    dns_cancel(&q);
    cb(&answer, ctx);
}

static void give_up(struct dns_question *q)
{
    struct dns_answer answer = {.status = DNS_TROUBLE};
    char reason[sizeof(q->reason)];
    dns_cb cb = q->cb;
    void *ctx = q->ctx;
    memcpy(reason, q->reason, sizeof(reason));
    answer.reason = reason;
    dns_cancel(&q);
    cb(&answer, ctx);
}

static void on_limit(void *ctx)
{
    give_up(ctx);
}

/* Answers */

static int socket_open(struct socket_of *s, struct dns_question *q, size_t server,
                       int kind, unsigned events, cm_io_cb cb)
{
    union peer_sockaddr to;
    socklen_t len =
        peer_sockaddr_set(&to, &q->servers[server].address, q->servers[server].port);
    int fd = socket(to.any.sa_family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (connect(fd, &to.any, len) != 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    *s = (struct socket_of){.q = q, .server = server, .fd = fd};
    s->io = cm_io_new(q->dns->loop, fd, events, cb, s);
    return 0;
}

static void on_tcp(int fd, unsigned events, void *ctx);

static struct dns_found *found_new(void)
{
    return cm_malloc(sizeof(struct dns_found)); /* too big for the stack of a loop */
}

/* A packet from server: 1 the question is gone, 0 go on. */
static int take(struct dns_question *q, size_t server, const unsigned char *data,
                size_t len, bool tcp)
{
    struct dns_found *found = found_new();
    int rc = dns_packet_answer(data, len, q->name, q->type, q->id, found);
    bool over = rc == 1 && found->status != DNS_TROUBLE;
    if (over) {
        finish(q, found);
    } else if (rc == 1) {
        snprintf(q->reason, sizeof(q->reason), "%s", found->reason);
        if (q->tries >= DNS_TRIES) {
            give_up(q);
            over = true;
        }
    } else if (rc == 2 && !tcp && q->tcp.io == NULL) {
        q->tcp_sent = false;
        cm_buf_reset(&q->tcp_in);
        (void)socket_open(&q->tcp, q, server, SOCK_STREAM, CM_IO_WRITE, on_tcp);
    }
    free(found);
    return over;
}

static void on_udp(int fd, unsigned events, void *ctx)
{
    (void)events;
    struct socket_of *s = ctx;
    unsigned char data[UDP_MAX];
    ssize_t n = recv(fd, data, sizeof(data), 0);
    if (n > 0) {
        (void)take(s->q, s->server, data, (size_t)n, false);
    } /* an ICMP error: the next try comes by itself */
}

static void tcp_send(struct dns_question *q)
{
    unsigned char out[QUESTION_MAX + 2] = {(unsigned char)(q->packet_len >> 8),
                                           (unsigned char)q->packet_len};
    memcpy(out + 2, q->packet, q->packet_len);
    q->tcp_sent = true;
    if (send(q->tcp.fd, out, q->packet_len + 2, MSG_NOSIGNAL) < 0) {
        socket_close(&q->tcp);
    } else {
        cm_io_want(q->tcp.io, CM_IO_READ);
    }
}

static void on_tcp(int fd, unsigned events, void *ctx)
{
    struct socket_of *s = ctx;
    struct dns_question *q = s->q;
    char data[UDP_MAX];
    if ((events & CM_IO_WRITE) && !q->tcp_sent) {
        tcp_send(q);
        return;
    }
    ssize_t n = recv(fd, data, sizeof(data), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n > 0) {
        cm_buf_add(&q->tcp_in, data, (size_t)n);
    }
    const unsigned char *in = (const unsigned char *)q->tcp_in.data;
    size_t want = q->tcp_in.len >= 2 ? 2 + ((size_t)in[0] << 8 | in[1]) : TCP_MAX;
    if (q->tcp_in.len >= want) {
        if (take(q, s->server, in + 2, want - 2, true) != 0) {
            return;
        }
        n = 0;
    }
    if (n <= 0) {
        socket_close(s);
    }
}

/* Tries */

static void on_next(void *ctx)
{
    struct dns_question *q = ctx;
    size_t server = q->server_count > 0 ? q->tries % q->server_count : 0;
    struct socket_of *s = &q->udp[server];
    if (q->server_count == 0) {
        snprintf(q->reason, sizeof(q->reason), "no resolver, or not a name");
        give_up(q);
        return;
    }
    if (s->io == NULL &&
        socket_open(s, q, server, SOCK_DGRAM, CM_IO_READ, on_udp) != 0) {
        snprintf(q->reason, sizeof(q->reason), "%s", strerror(errno));
    } else if (send(s->fd, q->packet, q->packet_len, MSG_NOSIGNAL) < 0) {
        snprintf(q->reason, sizeof(q->reason), "%s", strerror(errno));
    }
    if (++q->tries < DNS_TRIES) {
        cm_timer_set(q->next, tries_ms[q->tries] - tries_ms[q->tries - 1]);
    }
}

struct dns_question *dns_ask(struct dns *dns, const char *name, enum dns_type type,
                             dns_cb cb, void *ctx)
{
    struct dns_question *q = cm_calloc(1, sizeof(*q));
    read_conf(dns);
    q->dns = dns;
    q->type = type;
    q->cb = cb;
    q->ctx = ctx;
    snprintf(q->reason, sizeof(q->reason), "no answer from the resolver");
    cm_buf_init(&q->tcp_in, TCP_MAX);
    cm_assert(getrandom(&q->id, sizeof(q->id), 0) == sizeof(q->id));
    if (strlen(name) < sizeof(q->name) && dns->open < DNS_QUESTIONS_MAX) {
        snprintf(q->name, sizeof(q->name), "%s", name);
        q->packet_len =
            dns_packet_question(name, type, q->id, q->packet, sizeof(q->packet));
    }
    if (q->packet_len > 0) { /* else on_next() gives up */
        memcpy(q->servers, dns->servers, sizeof(q->servers));
        q->server_count = dns->server_count;
    }
    dns->open++;
    q->next = cm_timer_new(dns->loop, on_next, q);
    q->limit = cm_timer_new(dns->loop, on_limit, q);
    cm_timer_set(q->next, 0);
    cm_timer_set(q->limit, DNS_LIMIT_MS);
    return q;
}
