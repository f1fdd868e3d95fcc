/* The resolver: answers from a table, over UDP and TCP, as its mood is. */
#include "world.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ldns/ldns.h>

struct record {
    char name[128];
    char text[256]; /* in zone file form */
    ldns_rr_type type;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct record records[WORLD_RECORDS_MAX];
static size_t record_count;
static char asked[4096][96];
static size_t asked_count;
static enum world_dns mood;
static int drop;
static int udp_fd, tcp_fd, port;
static pthread_t udp_thread, tcp_thread;

void world_record(const char *name, const char *type, const char *data)
{
    pthread_mutex_lock(&lock);
    world_must(record_count < WORLD_RECORDS_MAX, "records");
    struct record *r = &records[record_count++];
    snprintf(r->name, sizeof(r->name), "%s", name);
    r->type = ldns_get_rr_type_by_name(type);
    snprintf(r->text, sizeof(r->text),
             r->type == LDNS_RR_TYPE_TXT  ? "%s. 60 IN %s \"%s\""
             : r->type == LDNS_RR_TYPE_MX ? "%s. 60 IN %s %s."
                                          : "%s. 60 IN %s %s",
             name, type, data);
    if (strcmp(data, "0 .") == 0) {
        snprintf(r->text, sizeof(r->text), "%s. 60 IN MX 0 .", name);
    }
    pthread_mutex_unlock(&lock);
}

void world_dns_mood(enum world_dns m, int n)
{
    pthread_mutex_lock(&lock);
    mood = m;
    drop = n;
    pthread_mutex_unlock(&lock);
}

size_t world_dns_asked(const char *name)
{
    size_t n = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < asked_count; i++) {
        n += strcasecmp(asked[i], name) == 0;
    }
    pthread_mutex_unlock(&lock);
    return n;
}

static void fill(ldns_pkt *answer, const char *name, ldns_rr_type type)
{
    bool exists = false;
    for (size_t i = 0; i < record_count; i++) {
        if (strcasecmp(records[i].name, name) != 0) {
            continue;
        }
        exists = true;
        ldns_rr *rr = NULL;
        if (records[i].type == type) {
            world_must(ldns_rr_new_frm_str(&rr, records[i].text, 60, NULL, NULL) ==
                           LDNS_STATUS_OK,
                       records[i].text);
            ldns_pkt_push_rr(answer, LDNS_SECTION_ANSWER, rr);
        }
    }
    if (!exists) {
        ldns_pkt_set_rcode(answer, LDNS_RCODE_NXDOMAIN);
    }
}

/* Length of the answer in out, 0: none is given. */
static size_t respond(const uint8_t *in, size_t len, bool tcp, uint8_t *out,
                      size_t size)
{
    ldns_pkt *q = NULL;
    if (ldns_wire2pkt(&q, in, len) != LDNS_STATUS_OK) {
        return 0;
    }
    ldns_rr *question = ldns_rr_list_rr(ldns_pkt_question(q), 0);
    char *name = ldns_rdf2str(ldns_rr_owner(question));
    name[strlen(name) - 1] = '\0';
    ldns_pkt *a = ldns_pkt_new();
    ldns_pkt_set_id(a, ldns_pkt_id(q));
    ldns_pkt_set_qr(a, true);
    ldns_pkt_push_rr(a, LDNS_SECTION_QUESTION, ldns_rr_clone(question));
    pthread_mutex_lock(&lock);
    if (asked_count < sizeof(asked) / sizeof(asked[0])) {
        snprintf(asked[asked_count++], sizeof(asked[0]), "%.95s", name);
    }
    bool silent = mood == WORLD_DNS_SILENT || drop > 0;
    drop -= drop > 0;
    if (mood == WORLD_DNS_FAILS) {
        ldns_pkt_set_rcode(a, LDNS_RCODE_SERVFAIL);
    } else if (mood == WORLD_DNS_CUT && !tcp) {
        ldns_pkt_set_tc(a, true);
    } else {
        fill(a, name, ldns_rr_get_type(question));
    }
    pthread_mutex_unlock(&lock);
    uint8_t *wire = NULL;
    size_t n = 0;
    world_must(ldns_pkt2wire(&wire, a, &n) == LDNS_STATUS_OK && n <= size, "answer");
    memcpy(out, wire, n);
    free(wire);
    free(name);
    ldns_pkt_free(a);
    ldns_pkt_free(q);
    return silent ? 0 : n;
}

static void *serve_udp(void *arg)
{
    (void)arg;
    uint8_t in[2048], out[4096];
    struct sockaddr_in from;
    for (;;) {
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(udp_fd, in, sizeof(in), 0, (struct sockaddr *)&from, &len);
        if (n <= 1) {
            return NULL; /* world_dns_stop() sends one byte */
        }
        size_t m = respond(in, (size_t)n, false, out, sizeof(out));
        if (m > 0) {
            sendto(udp_fd, out, m, 0, (struct sockaddr *)&from, len);
        }
    }
}

static void *serve_tcp(void *arg)
{
    (void)arg;
    int fd;
    while ((fd = accept(tcp_fd, NULL, NULL)) >= 0) {
        uint8_t in[2050], out[4098];
        ssize_t n = recv(fd, in, sizeof(in), 0);
        size_t m =
            n > 2 ? respond(in + 2, (size_t)n - 2, true, out + 2, sizeof(out) - 2) : 0;
        if (m > 0) {
            out[0] = (uint8_t)(m >> 8);
            out[1] = (uint8_t)m;
            send(fd, out, 20, MSG_NOSIGNAL); /* in two pieces */
            usleep(20000);
            send(fd, out + 20, m + 2 - 20, MSG_NOSIGNAL);
        }
        close(fd);
    }
    return NULL;
}

int world_dns_port(void)
{
    return port;
}

void world_dns_start(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET};
    socklen_t len = sizeof(sin);
    inet_pton(AF_INET, "127.0.0.1", &sin.sin_addr);
    udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    world_must(bind(udp_fd, (struct sockaddr *)&sin, sizeof(sin)) == 0, "bind");
    getsockname(udp_fd, (struct sockaddr *)&sin, &len);
    port = ntohs(sin.sin_port);
    world_must(bind(tcp_fd, (struct sockaddr *)&sin, sizeof(sin)) == 0, "bind");
    world_must(listen(tcp_fd, 64) == 0, "listen");
    pthread_create(&udp_thread, NULL, serve_udp, NULL);
    pthread_create(&tcp_thread, NULL, serve_tcp, NULL);
}

void world_dns_stop(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, "127.0.0.1", &sin.sin_addr);
    sendto(udp_fd, "", 1, 0, (struct sockaddr *)&sin, sizeof(sin));
    shutdown(tcp_fd, SHUT_RDWR);
    pthread_join(udp_thread, NULL);
    pthread_join(tcp_thread, NULL);
    close(udp_fd);
    close(tcp_fd);
}
