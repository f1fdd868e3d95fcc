#include "measure.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/invite.h"
#include "common/mem.h"

#define CONNECT_MS  5000
#define GREETING_MS 5000
#define ROUNDS      5
#define TALKS       8    /* of LONG_NAME bytes up and down each */
#define LONG_NAME   7000 /* below the 8 kB that the web server reads as one line */
#define HTTP_PORT   80
#define SILENT_PORT 9 /* of a gateway, when SSH is elsewhere: refused by itself */

int64_t op_measure_answer_ms = 8000;

/* ---- doors ---- */

static const struct {
    int port;
    bool tls;
    const char *request; /* over TLS */
    const char *greeting;
} doors[] = {
    {25, false, NULL, "220"},
    {80, false, NULL, NULL},
    {143, false, NULL, "* OK"},
    {443, true, "HEAD / HTTP/1.0\r\n\r\n", "HTTP/"},
    {465, true, "QUIT\r\n", "220"},
    {587, false, NULL, "220"},
    {993, true, "a LOGOUT\r\n", "* OK"},
};

static void try_doors(struct op_view *v, const char *domain)
{
    for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
        struct op_door *d = &v->doors[v->door_count++];
        uint16_t port = (uint16_t)doors[i].port;
        d->port = port;
        d->result = doors[i].tls
                        ? op_reach_tls(v->address, port, domain, doors[i].request,
                                       doors[i].greeting, d->said, sizeof(d->said))
                        : op_reach_tcp(v->address, port, doors[i].greeting, GREETING_MS,
                                       d->said, sizeof(d->said));
    }
}

/* ---- one HTTP talk ---- */

struct talk {
    int fd;
    int64_t first_us; /* from the question to the first byte of the answer */
    int64_t up, down;
    char *answer; /* malloc'd; head and body */
};

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static bool send_all(int fd, const char *data, size_t len, int64_t until_ms)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (cm_now_mono_ms() > until_ms) {
            return false;
        } else {
            usleep(1000); /* the socket's buffer holds a whole question */
        }
    }
    return true;
}

/* The length of a whole answer at the beginning of text, or 0 while it is not. */
static size_t whole_answer(const char *text, size_t len)
{
    const char *end = strstr(text, "\r\n\r\n");
    const char *field = end != NULL ? strcasestr(text, "\r\ncontent-length:") : NULL;

    if (field == NULL || field > end) {
        return 0;
    }
    size_t body = strtoul(field + strlen("\r\ncontent-length:"), NULL, 10);
    size_t all = (size_t)(end - text) + 4 + body;
    return body < 65536 && len >= all ? all : 0;
}

/* Asks for /NAME and reads all of the answer. NULL when it does not come. */
static bool ask(struct talk *t, const char *domain, const char *name)
{
    char *question = cm_asprintf("GET /%s HTTP/1.1\r\nHost: %s\r\n\r\n", name, domain);
    int64_t until = cm_now_mono_ms() + op_measure_answer_ms, from = now_us();
    struct cm_buf in;
    bool sent = send_all(t->fd, question, strlen(question), until), whole = false;

    t->up += (int64_t)strlen(question);
    t->first_us = -1;
    cm_buf_init(&in, 4 * LONG_NAME);
    while (sent && !whole && op_reach_readable(t->fd, until)) {
        char piece[4096];
        ssize_t n = recv(t->fd, piece, sizeof(piece), 0);
        if (n <= 0) {
            break;
        }
        t->first_us = t->first_us < 0 ? now_us() - from : t->first_us;
        cm_buf_add(&in, piece, (size_t)n);
        whole = whole_answer(in.data, in.len) > 0;
    }
    t->down += (int64_t)in.len;
    free(question);
    free(t->answer);
    t->answer = cm_buf_steal(&in);
    return whole;
}

/* ---- what is measured with it ---- */

static void own_address(int fd, char out[46])
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    const void *from = &ss;

    out[0] = '\0';
    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0) {
        return;
    }
    from = ss.ss_family == AF_INET6
               ? (const void *)&((const struct sockaddr_in6 *)from)->sin6_addr
               : (const void *)&((const struct sockaddr_in *)from)->sin_addr;
    if (inet_ntop(ss.ss_family, from, out, 46) == NULL) {
        out[0] = '\0';
    }
}

static void measure_time(struct talk *t, struct op_view *v, const char *domain)
{
    for (int i = 0; i < ROUNDS && ask(t, domain, v->token); i++) {
        bool better = v->store_us < 0 || t->first_us < v->store_us;
        v->store_us = better ? t->first_us : v->store_us;
    }
}

/* Every question and every answer is longer than several packets, and the answer holds
 * the question: nothing on the way loses large ones, in either direction. */
static void measure_size(struct talk *t, struct op_view *v, const char *domain)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    char *name = cm_calloc(1, LONG_NAME + 1);
    int done = 0;

    snprintf(name, LONG_NAME + 1, "%s-", v->token);
    for (size_t i = strlen(name); i < LONG_NAME; i++) {
        name[i] = (char)('a' + i % 26);
    }
    t->up = t->down = 0;
    while (done < TALKS && ask(t, domain, name) && strstr(t->answer, name) != NULL) {
        done++;
    }
    free(name);
    v->full = done == TALKS;
    v->up = t->up;
    v->down = t->down;
    if (!v->full) {
        snprintf(v->stuck, sizeof(v->stuck),
                 "no proper answer to question %d of %d bytes", done + 1, LONG_NAME);
    }
    if (getsockopt(t->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0) {
        v->out_segment = (int)info.tcpi_snd_mss;
        v->in_segment = (int)info.tcpi_rcv_mss;
        v->again = info.tcpi_total_retrans;
    }
}

/* A connection that the gateway itself takes or refuses: either answer has been there
 * and back once. */
static void measure_gateway(struct op_view *v, int ssh_port)
{
    uint16_t port = (uint16_t)(ssh_port > 0 ? ssh_port : SILENT_PORT);
    char said[120];

    for (int i = 0, fd = -1; i < ROUNDS; i++) {
        int64_t from = now_us();
        enum op_reach r =
            op_reach_open(v->address, port, CONNECT_MS, &fd, said, sizeof(said));
        int64_t took = now_us() - from;
        if (r == OP_REACH_OK) {
            close(fd);
        } else if (r != OP_REACH_BAD) {
            return;
        }
        v->gateway_us =
            v->gateway_us < 0 || took < v->gateway_us ? took : v->gateway_us;
    }
}

static void make_token(char token[OP_TOKEN_LEN + 1])
{
    char part[CM_INVITE_LEN + 1];
    struct cm_err ignored;

    snprintf(token, OP_TOKEN_LEN + 1, "chatops-");
    for (int i = 0; i < 2 && cm_invite_make(part, &ignored) == 0; i++) {
        size_t used = strlen(token);
        snprintf(token + used, OP_TOKEN_LEN + 1 - used, "%s", part);
    }
}

static void look(struct op_view *v, const char *domain, int ssh_port)
{
    char said[120];
    struct talk t = {.fd = -1};
    enum op_reach r =
        op_reach_open(v->address, HTTP_PORT, CONNECT_MS, &t.fd, said, sizeof(said));

    if (r == OP_REACH_NO_ROUTE) {
        v->no_route = true;
        return;
    }
    if (r == OP_REACH_OK) {
        own_address(t.fd, v->here);
        measure_time(&t, v, domain);
        measure_size(&t, v, domain);
        close(t.fd);
        free(t.answer);
    } else {
        snprintf(v->stuck, sizeof(v->stuck), "port %d: %.100s", HTTP_PORT, said);
    }
    measure_gateway(v, ssh_port);
    try_doors(v, domain);
}

size_t op_measure(const struct op_node *gateway, const char *domain, int ssh_port,
                  struct op_view views[CM_ADDRESSES_MAX])
{
    char words[CM_ADDRESSES_MAX][64];
    size_t n = cm_conf_words(gateway->gateway->addresses, words, CM_ADDRESSES_MAX);

    for (size_t i = 0; i < n; i++) {
        views[i] = (struct op_view){.store_us = -1, .gateway_us = -1};
        snprintf(views[i].address, sizeof(views[i].address), "%.45s", words[i]);
        make_token(views[i].token);
        look(&views[i], domain, ssh_port);
    }
    return n;
}

/* ---- the store's log ---- */

int op_measure_seen(struct op_host *store, struct op_view *views, size_t n,
                    struct cm_err *err)
{
    char *said;

    if (op_host_ask(store,
                    "journalctl -q -t nginx --since -10min -o cat | grep -F "
                    "/chatops- | cut -c 1-200 | tail -n 400; true",
                    &said, err) != 0) {
        return -1;
    }
    op_measure_take_log(said, views, n);
    free(said);
    return 0;
}

void op_measure_take_log(const char *lines, struct op_view *views, size_t n)
{
    for (const char *l = lines; *l != '\0';) {
        size_t len = strcspn(l, "\n"), address = strcspn(l, " \n");
        for (size_t i = 0; i < n; i++) {
            const char *at = memmem(l, len, views[i].token, strlen(views[i].token));
            if (at != NULL && views[i].token[0] != '\0' && address < 46) {
                snprintf(views[i].seen, sizeof(views[i].seen), "%.*s", (int)address, l);
            }
        }
        l += len + (l[len] == '\n');
    }
}
