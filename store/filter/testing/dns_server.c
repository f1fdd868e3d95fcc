#include "dns_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

#define ROWS_MAX    32
#define LATER_MAX   64
#define HANGING_MAX 16
#define SEEN_MAX    64
#define PACKET_MAX  8192
#define UDP_LIMIT   1232

struct packet {
    unsigned char data[PACKET_MAX];
    size_t len;
};

struct later {
    int64_t due_ms;
    struct sockaddr_in to;
    struct packet packet;
};

struct ds_server {
    pthread_t thread;
    pthread_mutex_t lock;
    int udp, tcp, stop[2];
    char list[32];
    struct ds_row row[ROWS_MAX];
    unsigned asked[ROWS_MAX];
    unsigned rows;
    struct later *later[LATER_MAX];
    int hanging[HANGING_MAX];
    unsigned hanging_count;
    struct {
        uint16_t id, port, edns;
    } seen[SEEN_MAX];
    unsigned seen_count;
};

/* ---- making packets ---- */

static void put(struct packet *p, const void *data, size_t len)
{
    cm_assert(p->len + len <= PACKET_MAX);
    memcpy(p->data + p->len, data, len);
    p->len += len;
}

static void put16(struct packet *p, unsigned v)
{
    unsigned char b[] = {(unsigned char)(v >> 8), (unsigned char)v};
    put(p, b, 2);
}

static void put_name(struct packet *p, const char *name)
{
    while (*name != '\0') {
        unsigned char n = (unsigned char)strcspn(name, ".");
        put(p, &n, 1);
        put(p, name, n);
        name += n + (name[n] == '.');
    }
    put(p, "", 1);
}

static void put_rr(struct packet *p, const char *owner, unsigned type, uint32_t ttl,
                   const struct packet *rdata)
{
    put_name(p, owner);
    put16(p, type);
    put16(p, 1);
    put16(p, ttl >> 16);
    put16(p, ttl & 0xffff);
    put16(p, (unsigned)rdata->len);
    put(p, rdata->data, rdata->len);
    p->data[7]++; /* answers; never over 255 here */
}

static void put_txt(struct packet *p, const char *owner, uint32_t ttl, const char *text)
{
    struct packet rdata = {.len = 0};
    size_t len = strlen(text);
    do {
        unsigned char n = len < 200 ? (unsigned char)len : 200;
        put(&rdata, &n, 1);
        put(&rdata, text, n);
        text += n;
        len -= n;
    } while (len > 0);
    put_rr(p, owner, 16, ttl, &rdata);
}

static void put_cname(struct packet *p, const char *owner, uint32_t ttl,
                      const char *target)
{
    struct packet rdata = {.len = 0};
    put_name(&rdata, target);
    put_rr(p, owner, 5, ttl, &rdata);
}

/* Header and question of an answer to `q`; recursion is available. */
static void start(struct packet *p, const struct packet *q, size_t question_end,
                  unsigned rcode)
{
    p->len = 0;
    put(p, q->data, question_end);
    p->data[2] = 0x81;
    p->data[3] = (unsigned char)(0x80 | rcode);
    memset(p->data + 6, 0, 6);
}

static void all_txt(struct packet *p, const struct ds_row *row, const char *owner)
{
    for (int i = 0; i < 4 && row->txt[i] != NULL; i++) {
        put_txt(p, owner, row->ttl, row->txt[i]);
    }
}

static void chain(struct packet *p, const struct ds_row *row)
{
    if (row->mood == DS_CNAME_LOOP) {
        put_cname(p, row->name, 300, "loop.example");
        put_cname(p, "loop.example", 300, row->name);
        return;
    }
    put_txt(p, "elsewhere.example", 300, "not ours");
    put_cname(p, "ONE.example", row->ttl, "two.example");
    put_cname(p, row->name, row->ttl + 5, "one.example");
    put_txt(p, "one.example", 300, "nor this");
    all_txt(p, row, "Two.Example");
}

/* ---- moods ---- */

/* What goes out over UDP; 0, 1 or 2 packets. */
static unsigned answer(const struct ds_row *row, unsigned asked, bool tcp, bool edns,
                       const struct packet *q, size_t end, struct packet out[2])
{
    bool truncates = row->mood == DS_TRUNCATED || row->mood == DS_TRUNCATED_CLOSED ||
                     row->mood == DS_TRUNCATED_HANGING;
    start(&out[0], q, end, 0);
    start(&out[1], q, end, 0);
    all_txt(&out[1], row, row->name);
    switch (row->mood) {
    case DS_NXDOMAIN:
        out[0].data[3] |= 3;
        return 1;
    case DS_SERVFAIL:
        out[0].data[3] |= 2;
        return 1;
    case DS_REFUSED:
        out[0].data[3] |= 5;
        return 1;
    case DS_NODATA:
        return 1;
    case DS_REFERRAL:
        out[0].data[3] = 0;
        return 1;
    case DS_SILENT:
        return 0;
    case DS_GARBAGE:
        memset(out[0].data + 12, 0xff, out[0].len - 12);
        return 1;
    case DS_WRONG_ID:
    case DS_WRONG_ONLY:
        put_txt(&out[0], row->name, 300, "forged");
        out[0].data[0] ^= 1;
        return row->mood == DS_WRONG_ID ? 2 : 1;
    case DS_WRONG_QUESTION:
        put_txt(&out[0], row->name, 300, "forged");
        out[0].data[13] ^= 1;
        return 2;
    case DS_CNAME:
    case DS_CNAME_LOOP:
        chain(&out[0], row);
        return 1;
    default:
        break;
    }
    if ((row->mood == DS_SERVFAIL_ONCE && asked == 1) ||
        (row->mood == DS_NO_EDNS && edns)) {
        out[0].data[3] |= row->mood == DS_NO_EDNS ? 1 : 2;
        return 1;
    }
    if (row->mood == DS_DROP_TWO && asked <= 2) {
        return 0;
    }
    if (!tcp && (truncates || out[1].len > UDP_LIMIT)) {
        out[0].data[2] |= 2;
        return 1;
    }
    out[0] = out[1];
    return 1;
}

static void note(struct ds_server *s, const struct packet *q, size_t end, uint16_t port)
{
    unsigned i = s->seen_count++ % SEEN_MAX;
    s->seen[i].id = (uint16_t)(q->data[0] << 8 | q->data[1]);
    s->seen[i].port = port;
    s->seen[i].edns =
        q->len >= end + 11 ? (uint16_t)(q->data[end + 3] << 8 | q->data[end + 4]) : 0;
}

/* The row of the question, NULL when the packet is none. *end: of the question. */
static const struct ds_row *row_of(struct ds_server *s, const struct packet *q,
                                   size_t *end, unsigned *asked)
{
    static const struct ds_row unknown = {.name = "unknown", .mood = DS_NXDOMAIN};
    char name[400];
    size_t at = 12, n = 0;
    while (at < q->len && q->data[at] != 0 && at + q->data[at] < q->len && n < 256) {
        n += (size_t)snprintf(name + n, sizeof(name) - n, "%s%.*s", n > 0 ? "." : "",
                              (int)q->data[at], (const char *)q->data + at + 1);
        at += q->data[at] + 1u;
    }
    *end = at + 5;
    if (*end > q->len) {
        return NULL;
    }
    for (unsigned i = 0; i < s->rows; i++) {
        if (strcasecmp(s->row[i].name, name) == 0) {
            *asked = ++s->asked[i];
            return &s->row[i];
        }
    }
    *asked = 1;
    return &unknown;
}

/* ---- UDP ---- */

static void send_later(struct ds_server *s, const struct packet *p,
                       const struct sockaddr_in *to, int64_t late_ms)
{
    for (int i = 0; i < LATER_MAX; i++) {
        if (s->later[i] == NULL) {
            s->later[i] = cm_malloc(sizeof(struct later));
            *s->later[i] = (struct later){cm_now_mono_ms() + late_ms, *to, *p};
            return;
        }
    }
    cm_assert(!"too many late answers");
}

static void on_udp(struct ds_server *s)
{
    struct packet q, out[2];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    ssize_t n = recvfrom(s->udp, q.data, sizeof(q.data), 0, (struct sockaddr *)&from,
                         &from_len);
    if (n < 17) {
        return;
    }
    q.len = (size_t)n;
    pthread_mutex_lock(&s->lock);
    size_t end;
    unsigned asked;
    const struct ds_row *row = row_of(s, &q, &end, &asked);
    if (row != NULL) {
        note(s, &q, end, from.sin_port);
        unsigned count = answer(row, asked, false, q.len > end, &q, end, out);
        for (unsigned i = 0; i < count; i++) {
            send_later(s, &out[i], &from, row->late_ms);
        }
    }
    pthread_mutex_unlock(&s->lock);
}

/* Returns how long until the next one is due. */
static int send_due(struct ds_server *s)
{
    int64_t now = cm_now_mono_ms(), wait = 1000;
    for (int i = 0; i < LATER_MAX; i++) {
        struct later *l = s->later[i];
        if (l != NULL && l->due_ms <= now) {
            sendto(s->udp, l->packet.data, l->packet.len, 0,
                   (const struct sockaddr *)&l->to, sizeof(l->to));
            free(l);
            s->later[i] = NULL;
        } else if (l != NULL) {
            wait = l->due_ms - now < wait ? l->due_ms - now : wait;
        }
    }
    return (int)wait;
}

/* ---- TCP ---- */

static bool read_all(int fd, unsigned char *data, size_t len)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    while (len > 0) {
        ssize_t n = poll(&pfd, 1, 500) == 1 ? read(fd, data, len) : 0;
        if (n <= 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void on_tcp(struct ds_server *s)
{
    struct packet q, out[2];
    unsigned char head[2];
    int fd = accept(s->tcp, NULL, NULL);
    if (fd < 0) {
        return;
    }
    if (!read_all(fd, head, 2) || (q.len = (size_t)head[0] << 8 | head[1]) < 17 ||
        q.len > PACKET_MAX || !read_all(fd, q.data, q.len)) {
        close(fd);
        return;
    }
    pthread_mutex_lock(&s->lock);
    size_t end;
    unsigned asked;
    const struct ds_row *row = row_of(s, &q, &end, &asked);
    if (row != NULL && row->mood == DS_TRUNCATED_HANGING &&
        s->hanging_count < HANGING_MAX) {
        s->hanging[s->hanging_count++] = fd;
        fd = -1;
    } else if (row != NULL && row->mood != DS_TRUNCATED_CLOSED &&
               answer(row, asked, true, q.len > end, &q, end, out) > 0) {
        head[0] = (unsigned char)(out[0].len >> 8);
        head[1] = (unsigned char)out[0].len;
        /* In pieces, as TCP may. */
        cm_assert(write(fd, head, 1) == 1 && write(fd, head + 1, 1) == 1 &&
                  write(fd, out[0].data, 5) == 5 &&
                  write(fd, out[0].data + 5, out[0].len - 5) ==
                      (ssize_t)out[0].len - 5);
    }
    pthread_mutex_unlock(&s->lock);
    if (fd >= 0) {
        close(fd);
    }
}

/* ---- life ---- */

static void *run(void *arg)
{
    struct ds_server *s = arg;
    for (;;) {
        struct pollfd pfd[] = {{.fd = s->udp, .events = POLLIN},
                               {.fd = s->tcp, .events = POLLIN},
                               {.fd = s->stop[0], .events = POLLIN}};
        poll(pfd, 3, send_due(s));
        if (pfd[2].revents != 0) {
            return NULL;
        }
        if (pfd[0].revents != 0) {
            on_udp(s);
        }
        if (pfd[1].revents != 0) {
            on_tcp(s);
        }
    }
}

/* Both on one port: UDP takes a free one, TCP must get the same. */
static bool bind_both(struct ds_server *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cm_assert(s->udp >= 0 && s->tcp >= 0 &&
              bind(s->udp, (struct sockaddr *)&at, sizeof(at)) == 0 &&
              getsockname(s->udp, (struct sockaddr *)&at, &len) == 0);
    snprintf(s->list, sizeof(s->list), "127.0.0.1@%u", ntohs(at.sin_port));
    if (bind(s->tcp, (struct sockaddr *)&at, sizeof(at)) == 0 &&
        listen(s->tcp, 16) == 0) {
        return true;
    }
    close(s->udp);
    close(s->tcp);
    return false;
}

struct ds_server *ds_start(void)
{
    struct ds_server *s = cm_calloc(1, sizeof(*s));
    int tries = 0;
    while (!bind_both(s)) {
        cm_assert(++tries < 20);
    }
    cm_assert(pipe2(s->stop, O_CLOEXEC) == 0 &&
              pthread_mutex_init(&s->lock, NULL) == 0 &&
              pthread_create(&s->thread, NULL, run, s) == 0);
    return s;
}

void ds_stop(struct ds_server **sp)
{
    struct ds_server *s = *sp;
    cm_assert(write(s->stop[1], "x", 1) == 1);
    pthread_join(s->thread, NULL);
    for (int i = 0; i < LATER_MAX; i++) {
        free(s->later[i]);
    }
    for (unsigned i = 0; i < s->hanging_count; i++) {
        close(s->hanging[i]);
    }
    close(s->udp);
    close(s->tcp);
    close(s->stop[0]);
    close(s->stop[1]);
    pthread_mutex_destroy(&s->lock);
    free(s);
    *sp = NULL;
}

const char *ds_list(const struct ds_server *s)
{
    return s->list;
}

static unsigned find(const struct ds_server *s, const char *name)
{
    unsigned i = 0;
    while (i < s->rows && strcasecmp(s->row[i].name, name) != 0) {
        i++;
    }
    return i;
}

void ds_set(struct ds_server *s, const struct ds_row *row)
{
    pthread_mutex_lock(&s->lock);
    unsigned i = find(s, row->name);
    cm_assert(i < ROWS_MAX);
    s->rows = i == s->rows ? i + 1 : s->rows;
    s->row[i] = *row;
    s->asked[i] = 0;
    pthread_mutex_unlock(&s->lock);
}

unsigned ds_asked(struct ds_server *s, const char *name)
{
    pthread_mutex_lock(&s->lock);
    unsigned i = find(s, name);
    unsigned n = i < s->rows ? s->asked[i] : 0;
    pthread_mutex_unlock(&s->lock);
    return n;
}

void ds_spread(struct ds_server *s, unsigned *ids, unsigned *ports, bool *edns,
               uint16_t size)
{
    *ids = *ports = 0;
    *edns = true;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < SEEN_MAX && i < s->seen_count; i++) {
        bool id = true, port = true;
        for (unsigned k = 0; k < i; k++) {
            id &= s->seen[k].id != s->seen[i].id;
            port &= s->seen[k].port != s->seen[i].port;
        }
        *ids += id;
        *ports += port;
        *edns &= s->seen[i].edns == size;
    }
    pthread_mutex_unlock(&s->lock);
}
