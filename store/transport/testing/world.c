/* The peers: a listener thread for each, a thread for each connection. */
#include "world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/tcp.h>

#include <openssl/ssl.h>

#define PEERS_MAX 256
#define LINE      2048

struct peer {
    bool exists;
    int n;
    struct world_mood mood;
    SSL_CTX *ctx;
    int https_fd, smtp_fd;
    pthread_t https_thread, smtp_thread;
    size_t https_taken, smtp_taken;
    size_t resumed, quits, busy, busiest;
};

struct talk {
    struct talk *next;
    bool https;
    struct peer *peer;
    struct world_mood mood;
    int fd;
    SSL *ssl; /* NULL: in clear */
    char ehlo[128];
    int messages;
    char in[16384];
    size_t len, at;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct peer peers[PEERS_MAX];
static struct world_mail mails[WORLD_MAILS_MAX];
static size_t mail_count;
static struct talk *talks;
static int https_port, smtp_port;
static int holes[32];
static size_t hole_count;

void world_must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "world: %s: %s\n", what, strerror(errno));
        abort();
    }
}

/* Mails */

void world_keep(const struct world_mail *mail)
{
    pthread_mutex_lock(&lock);
    world_must(mail_count < WORLD_MAILS_MAX, "mails");
    mails[mail_count++] = *mail;
    pthread_mutex_unlock(&lock);
}

size_t world_mails(void)
{
    pthread_mutex_lock(&lock);
    size_t n = mail_count;
    pthread_mutex_unlock(&lock);
    return n;
}

const struct world_mail *world_mail(size_t i)
{
    return &mails[i];
}

void world_forget(void)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < mail_count; i++) {
        free(mails[i].body);
    }
    mail_count = 0;
    pthread_mutex_unlock(&lock);
}

/* Connections */

static int more(struct talk *t)
{
    usleep((useconds_t)t->mood.turn_ms * 1000);
    int n = t->ssl != NULL ? SSL_read(t->ssl, t->in, sizeof(t->in))
                           : (int)recv(t->fd, t->in, sizeof(t->in), 0);
    t->at = 0;
    t->len = n > 0 ? (size_t)n : 0;
    return n > 0 ? 0 : -1;
}

static int get(struct talk *t)
{
    return t->at < t->len || more(t) == 0 ? (unsigned char)t->in[t->at++] : -1;
}

static void put(struct talk *t, const char *text)
{
    size_t len = strlen(text);
    if (t->ssl != NULL) {
        SSL_write(t->ssl, text, (int)len);
    } else {
        send(t->fd, text, len, MSG_NOSIGNAL);
    }
}

static void put_line(struct talk *t, const char *text)
{
    char line[LINE + 2];
    snprintf(line, sizeof(line), "%s\r\n", text);
    put(t, line);
}

/* false: the end. */
static bool get_line(struct talk *t, char line[LINE])
{
    size_t n = 0;
    for (int c; (c = get(t)) >= 0;) {
        if (c == '\n') {
            line[n > 0 && line[n - 1] == '\r' ? n - 1 : n] = '\0';
            return true;
        }
        if (n + 1 < LINE) {
            line[n++] = (char)c;
        }
    }
    return false;
}

static bool secure(struct talk *t)
{
    pthread_mutex_lock(&lock);
    t->ssl = SSL_new(t->peer->ctx);
    pthread_mutex_unlock(&lock);
    SSL_set_fd(t->ssl, t->fd);
    t->at = t->len = 0;
    bool up = SSL_accept(t->ssl) == 1;
    pthread_mutex_lock(&lock);
    t->peer->resumed += up && !t->https && SSL_session_reused(t->ssl) == 1;
    pthread_mutex_unlock(&lock);
    return up;
}

/* SMTP */

static bool read_data(struct talk *t, struct world_mail *mail)
{
    size_t cap = 1u << 16;
    mail->body = malloc(cap);
    for (int c; (c = get(t)) >= 0;) {
        if (mail->len + 1 > cap) {
            cap *= 2;
            mail->body = realloc(mail->body, cap);
        }
        mail->body[mail->len++] = (char)c;
        if (mail->len >= 3 && memcmp(mail->body + mail->len - 3, ".\r\n", 3) == 0 &&
            (mail->len == 3 || mail->body[mail->len - 4] == '\n')) {
            mail->len -= 3;
            return true;
        }
    }
    free(mail->body);
    return false;
}

static const char *or_else(const char *text, const char *usual)
{
    return text != NULL ? text : usual;
}

static void copy_path(char *out, size_t size, const char *line)
{
    const char *open = strchr(line, '<');
    const char *close = open != NULL ? strchr(open, '>') : NULL;
    if (close != NULL) {
        snprintf(out, size, "%.*s", (int)(close - open - 1), open + 1);
    }
}

static void busy(struct talk *t, bool on)
{
    pthread_mutex_lock(&lock);
    struct peer *p = t->peer;
    p->busy += on ? 1u : (size_t)-1;
    p->busiest = p->busy > p->busiest ? p->busy : p->busiest;
    pthread_mutex_unlock(&lock);
}

/* Has the connection carried all that it should, and this is to come of it? */
static bool then(const struct talk *t, enum world_then what)
{
    return t->mood.messages > 0 && t->messages >= t->mood.messages &&
           t->mood.then == what;
}

/* false: hang up. */
static bool on_data(struct talk *t, struct world_mail *mail)
{
    const char *final_ = or_else(t->mood.final_, "250 2.0.0 taken");
    const char *ready = or_else(t->mood.data, "354 go");
    put_line(t, ready);
    if (ready[0] != '3') {
        return true;
    }
    if (then(t, WORLD_CUTS_BODY)) {
        for (int i = 0; i < 10000 && get(t) >= 0; i++) {
        }
        return false;
    }
    busy(t, true);
    bool whole = read_data(t, mail);
    busy(t, false);
    if (!whole) {
        return false;
    }
    if (mail->to[0] == '\0') {
        free(mail->body);
        put_line(t, "554 5.5.1 no valid recipients");
        return true;
    }
    mail->peer = t->peer->n;
    memcpy(mail->ehlo, t->ehlo, sizeof(mail->ehlo));
    if (t->mood.silent) {
        free(mail->body);
        sleep(30);
        return false;
    }
    if (final_[0] == '2') {
        world_keep(mail);
    } else {
        free(mail->body);
    }
    *mail = (struct world_mail){.https = false};
    if (t->mood.hang_up || then(t, WORLD_CUTS_FINAL)) {
        return false;
    }
    put_line(t, final_);
    t->messages++;
    return !then(t, WORLD_CLOSES);
}

static bool on_command(struct talk *t, const char *line, struct world_mail *mail)
{
    if (strncasecmp(line, "EHLO", 4) == 0) {
        snprintf(t->ehlo, sizeof(t->ehlo), "%.127s", line + 5);
        put(t, "250-peer\r\n");
        if (!t->mood.no_starttls && t->ssl == NULL) {
            put(t, "250-STARTTLS\r\n");
        }
        put(t, t->mood.no_pipelining ? "250 8BITMIME\r\n" : "250 PIPELINING\r\n");
    } else if (strncasecmp(line, "STARTTLS", 8) == 0) {
        put(t, "220 go\r\n");
        return secure(t);
    } else if (then(t, WORLD_SLEEPS)) {
        return true;
    } else if (then(t, WORLD_SAYS_421) && strncasecmp(line, "RSET", 4) == 0) {
        put(t, "421 4.7.0 enough\r\n");
        return false;
    } else if (then(t, WORLD_REFUSES_MAIL) && strncasecmp(line, "MAIL", 4) == 0) {
        put(t, "450 4.7.1 enough\r\n");
    } else if (strncasecmp(line, "MAIL", 4) == 0) {
        *mail = (struct world_mail){.https = false};
        copy_path(mail->from, sizeof(mail->from), line);
        put_line(t, or_else(t->mood.mail, "250 2.1.0 fine"));
    } else if (strncasecmp(line, "RCPT", 4) == 0) {
        char to[256] = "";
        copy_path(to, sizeof(to), line);
        if (t->mood.mail != NULL && t->mood.mail[0] != '2') {
            put(t, "503 5.5.1 MAIL first\r\n");
        } else if (t->mood.refused != NULL && strstr(to, t->mood.refused) != NULL) {
            put_line(t, t->mood.rcpt);
        } else {
            size_t len = strlen(mail->to);
            snprintf(mail->to + len, sizeof(mail->to) - len, "%s ", to);
            put(t, "250 2.1.5 fine\r\n");
        }
    } else if (strncasecmp(line, "DATA", 4) == 0) {
        return on_data(t, mail);
    } else if (strncasecmp(line, "QUIT", 4) == 0) {
        pthread_mutex_lock(&lock);
        t->peer->quits++;
        pthread_mutex_unlock(&lock);
        put(t, "221 bye\r\n");
        return false;
    } else {
        put(t, "250 fine\r\n");
    }
    return true;
}

static void talk_smtp(struct talk *t)
{
    char line[LINE];
    struct world_mail mail = {.https = false};
    put_line(t, or_else(t->mood.greeting, "220 peer"));
    while (get_line(t, line) && on_command(t, line, &mail)) {
    }
}

/* HTTPS */

struct request {
    char first[LINE];
    size_t length;
    bool expect;
    struct world_mail mail;
};

static bool read_request(struct talk *t, struct request *r)
{
    char line[LINE];
    *r = (struct request){.mail = {.https = true, .peer = t->peer->n}};
    if (!get_line(t, r->first)) {
        return false;
    }
    while (get_line(t, line)) {
        const char *colon = strchr(line, ':');
        const char *value = colon != NULL ? colon + 2 : "";
        if (line[0] == '\0') {
            return true;
        }
        if (strncasecmp(line, "X-MAIL-FROM:", 12) == 0) {
            snprintf(r->mail.from, sizeof(r->mail.from), "%s", value);
        } else if (strncasecmp(line, "X-MAIL-TO:", 10) == 0) {
            size_t len = strlen(r->mail.to);
            snprintf(r->mail.to + len, sizeof(r->mail.to) - len, "%s ", value);
        } else if (strncasecmp(line, "Content-Length:", 15) == 0) {
            r->length = (size_t)strtoul(value, NULL, 10);
        } else if (strncasecmp(line, "Expect:", 7) == 0) {
            r->expect = true;
        }
    }
    return false;
}

static void answer(struct talk *t, int status, const char *body)
{
    char text[8192];
    snprintf(text, sizeof(text), "HTTP/1.1 %d Status\r\nContent-Length: %zu\r\n\r\n%s",
             status, strlen(body), body);
    put(t, text);
}

static void talk_https(struct talk *t)
{
    struct request r;
    while (read_request(t, &r)) {
        if (strncmp(r.first, "GET", 3) == 0) {
            answer(t, t->mood.policy != NULL ? 200 : 404,
                   or_else(t->mood.policy, "no"));
            continue;
        }
        if (r.expect && t->mood.https_status == 413) {
            answer(t, 413, "552 Message exceeds maximum size");
            return;
        }
        if (r.expect) {
            put(t, "HTTP/1.1 100 Continue\r\n\r\n");
        }
        r.mail.body = malloc(r.length + 1);
        while (r.mail.len < r.length) {
            int c = get(t);
            if (c < 0) {
                free(r.mail.body);
                return;
            }
            r.mail.body[r.mail.len++] = (char)c;
        }
        busy(t, true);
        usleep((useconds_t)t->mood.https_delay_ms * 1000);
        busy(t, false);
        bool right = strncmp(r.first, "POST /mxdeliv HTTP/1.1", 22) == 0;
        int status = right ? t->mood.https_status : 404;
        if (status / 100 == 2) {
            world_keep(&r.mail);
        } else {
            free(r.mail.body);
        }
        answer(t, status, status / 100 == 2 ? "250 OK" : "523 Encryption Needed");
    }
}

/* Threads */

static void *serve_one(void *arg)
{
    struct talk *t = arg;
    if (t->mood.mute) {
        while (recv(t->fd, t->in, sizeof(t->in), 0) > 0) {
        }
    } else if (t->https) {
        if (secure(t)) {
            talk_https(t);
        }
    } else {
        talk_smtp(t);
    }
    pthread_mutex_lock(&lock);
    struct talk **at = &talks;
    while (*at != t) {
        at = &(*at)->next;
    }
    *at = t->next;
    pthread_mutex_unlock(&lock);
    SSL_free(t->ssl);
    close(t->fd);
    free(t);
    return NULL;
}

static void serve(struct peer *p, int listener, bool https)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct talk *t = calloc(1, sizeof(*t));
        int on = 1; /* replies to a pipeline are many small writes */
        pthread_t thread;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        t->peer = p;
        t->fd = fd;
        t->https = https;
        pthread_mutex_lock(&lock);
        t->mood = p->mood;
        *(https ? &p->https_taken : &p->smtp_taken) += 1;
        t->next = talks;
        talks = t;
        pthread_mutex_unlock(&lock);
        world_must(pthread_create(&thread, NULL, serve_one, t) == 0, "thread");
        pthread_detach(thread);
    }
}

static void *serve_https(void *arg)
{
    struct peer *p = arg;
    serve(p, p->https_fd, true);
    return NULL;
}

static void *serve_smtp(void *arg)
{
    struct peer *p = arg;
    serve(p, p->smtp_fd, false);
    return NULL;
}

static int listen_on(const struct sockaddr *sa, socklen_t len, int backlog)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    world_must(bind(fd, sa, len) == 0, "bind");
    world_must(listen(fd, backlog) == 0, "listen");
    return fd;
}

static int listen_at(int n, int port, int backlog)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    sin.sin_addr.s_addr = htonl(0x7f000000u + (uint32_t)n);
    return listen_on((const struct sockaddr *)&sin, sizeof(sin), backlog);
}

static int listen_at_v6(int port)
{
    struct sockaddr_in6 sin = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)port),
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    return listen_on((const struct sockaddr *)&sin, sizeof(sin), 1024);
}

static int listen_for(const struct peer *p, int port)
{
    int fd = p->mood.at_v6 ? listen_at_v6(port) : listen_at(p->n, port, 1024);
    int window = 8192; /* else a whole message may be on its way when it is cut */
    if (p->mood.then == WORLD_CUTS_BODY) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
    }
    return fd;
}

bool world_has_v6(void)
{
    struct sockaddr_in6 sin = {.sin6_family = AF_INET6,
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0;
    close(fd);
    return has;
}

static void peer_close(struct peer *p)
{
    pthread_mutex_lock(&lock);
    for (struct talk *t = talks; t != NULL; t = t->next) {
        if (t->peer == p) {
            shutdown(t->fd, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&lock);
    if (p->https_fd > 0) {
        shutdown(p->https_fd, SHUT_RDWR);
        pthread_join(p->https_thread, NULL);
        close(p->https_fd);
        p->https_fd = 0;
    }
    if (p->smtp_fd > 0) {
        shutdown(p->smtp_fd, SHUT_RDWR);
        pthread_join(p->smtp_thread, NULL);
        close(p->smtp_fd);
        p->smtp_fd = 0;
    }
}

void world_peer(int n, const struct world_mood *mood)
{
    struct peer *p = &peers[n];
    char name[64];
    snprintf(name, sizeof(name), "peer%d.example", n);
    peer_close(p);
    pthread_mutex_lock(&lock);
    p->n = n;
    p->exists = true;
    p->mood = *mood;
    SSL_CTX_free(p->ctx);
    p->ctx = world_tls_server(or_else(mood->name, name), mood->untrusted);
    SSL_CTX_set_num_tickets(p->ctx, mood->no_tickets ? 0 : 2);
    p->busiest = 0;
    pthread_mutex_unlock(&lock);
    if (mood->https_status != 0 || mood->mute) {
        p->https_fd = listen_for(p, https_port);
        pthread_create(&p->https_thread, NULL, serve_https, p);
    }
    if (mood->smtp || mood->mute) {
        p->smtp_fd = listen_for(p, smtp_port);
        pthread_create(&p->smtp_thread, NULL, serve_smtp, p);
    }
}

/* A listener that never accepts, with its queue full: SYNs are dropped. */
void world_black_hole(int n)
{
    const int ports[] = {https_port, smtp_port};
    for (size_t i = 0; i < 2; i++) {
        struct sockaddr_in sin = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)ports[i])};
        sin.sin_addr.s_addr = htonl(0x7f000000u + (uint32_t)n);
        holes[hole_count++] = listen_at(n, ports[i], 0);
        for (int k = 0; k < 3; k++) {
            int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            connect(fd, (struct sockaddr *)&sin, sizeof(sin));
            holes[hole_count++] = fd;
        }
    }
    usleep(50000);
}

size_t world_connections(int n, bool https)
{
    pthread_mutex_lock(&lock);
    size_t taken = https ? peers[n].https_taken : peers[n].smtp_taken;
    pthread_mutex_unlock(&lock);
    return taken;
}

static size_t figure(const size_t *of_peer)
{
    pthread_mutex_lock(&lock);
    size_t n = *of_peer;
    pthread_mutex_unlock(&lock);
    return n;
}

size_t world_resumed(int n)
{
    return figure(&peers[n].resumed);
}

size_t world_quits(int n)
{
    return figure(&peers[n].quits);
}

size_t world_busiest(int n)
{
    return figure(&peers[n].busiest);
}

/* Two ports that are free on 127.0.0.1 will be so on its neighbours. */
static int free_port(void)
{
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);
    int fd = listen_at(1, 0, 1);
    getsockname(fd, (struct sockaddr *)&sin, &len);
    close(fd);
    return ntohs(sin.sin_port);
}

int world_https_port(void)
{
    return https_port;
}

int world_smtp_port(void)
{
    return smtp_port;
}

void world_open(const char *ca_path)
{
    signal(SIGPIPE, SIG_IGN);
    world_tls_make_ca(ca_path);
    world_dns_start();
    https_port = free_port();
    do {
        smtp_port = free_port();
    } while (smtp_port == https_port);
}

void world_close(void)
{
    for (int n = 0; n < PEERS_MAX; n++) {
        peer_close(&peers[n]);
    }
    for (size_t i = 0; i < hole_count; i++) {
        close(holes[i]);
    }
    world_dns_stop();
    for (int i = 0; i < 200; i++) {
        pthread_mutex_lock(&lock);
        bool left = talks != NULL;
        pthread_mutex_unlock(&lock);
        if (!left) {
            break;
        }
        usleep(10000);
    }
    world_forget();
}
