#include "testing/mta.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define VERSION   6
#define ACTIONS   0x1ffu    /* all of version 6 */
#define STEPS     0x1fffffu /* as Postfix 3.7 */
#define CHUNK     65535
#define PACKET    (CHUNK + 4096)
#define TIMEOUT_S 60

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "mta: %s: %s\n", what, strerror(errno));
        abort();
    }
}

static bool read_all(int fd, void *data, size_t len)
{
    char *p = data;
    while (len > 0) {
        ssize_t n = recv(fd, p, len, 0);
        must(n >= 0 || errno == ECONNRESET, "no answer");
        if (n <= 0) {
            return false;
        }
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool say(struct mta *m, char command, const void *data, size_t len)
{
    static __thread char packet[PACKET];
    uint32_t size = htonl((uint32_t)len + 1);
    must(len + 5 <= sizeof(packet), "packet");
    memcpy(packet, &size, 4);
    packet[4] = command;
    if (len > 0) {
        memcpy(packet + 5, data, len);
    }
    for (size_t at = 0; at < len + 5;) {
        ssize_t n = send(m->fd, packet + at, len + 5 - at, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        at += (size_t)n;
    }
    return true;
}

/* One packet; its data with a NUL behind it. Returns the command, 0 at the end. */
static char hear(struct mta *m, char *data, size_t size, size_t *len_r)
{
    uint32_t net;
    char command;
    if (!read_all(m->fd, &net, 4) || !read_all(m->fd, &command, 1)) {
        return 0;
    }
    size_t len = ntohl(net) - 1;
    must(len < size, "long packet");
    if (!read_all(m->fd, data, len)) {
        return 0;
    }
    data[len] = '\0';
    *len_r = len;
    return command;
}

static void note(struct mta *m, const char *what, const char *value)
{
    size_t at = strlen(m->changes);
    snprintf(m->changes + at, sizeof(m->changes) - at, "%s %s\n", what, value);
}

static void note_header(struct mta *m, const char *data)
{
    uint32_t index;
    memcpy(&index, data, 4);
    const char *name = data + 4, *value = name + strlen(name) + 1;
    char what[200];
    snprintf(what, sizeof(what), "header %.150s %u", name, ntohl(index));
    note(m, what, value[0] != '\0' ? value : "-");
}

static void note_insert(struct mta *m, const char *data)
{
    uint32_t index;
    memcpy(&index, data, 4);
    const char *name = data + 4, *value = name + strlen(name) + 1;
    char where[16];
    snprintf(where, sizeof(where), "%u", ntohl(index));
    note(m, "insert", name);
    m->changes[strlen(m->changes) - 1] = '\0';
    note(m, "", where);
    must(strlen(value) < sizeof(m->inserted), "long field");
    strcpy(m->inserted, value);
}

/* Changes on the way are noted; returns m->answer. */
static const char *judge(struct mta *m)
{
    static const struct {
        char command;
        const char *name;
    } names[] = {{'c', "continue"}, {'a', "accept"}, {'d', "discard"},
                 {'t', "tempfail"}, {'r', "reject"}, {'s', "skip"}};
    char data[8192];
    size_t len;
    for (;;) {
        char command = hear(m, data, sizeof(data), &len);
        if (command == 'm') {
            note_header(m, data);
        } else if (command == 'i') {
            note_insert(m, data);
        } else if (command == 'e') {
            note(m, "from", data);
        } else if (command == '-') {
            note(m, "rcpt-", data);
        } else if (command == 'y') {
            snprintf(m->answer, sizeof(m->answer), "%.1000s", data);
            return m->answer;
        } else if (command == 0) {
            snprintf(m->answer, sizeof(m->answer), "lost");
            return m->answer;
        } else if (command != 'p') {
            for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                if (command == names[i].command) {
                    snprintf(m->answer, sizeof(m->answer), "%s", names[i].name);
                    return m->answer;
                }
            }
            must(false, "unknown answer");
        }
    }
}

void mta_open(struct mta *m, const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = TIMEOUT_S};
    *m = (struct mta){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    must(connect(m->fd, (struct sockaddr *)&sun, sizeof(sun)) == 0, path);
    setsockopt(m->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    const uint32_t offer[] = {htonl(VERSION), htonl(ACTIONS), htonl(STEPS)};
    char data[1024];
    size_t len;
    must(say(m, 'O', offer, sizeof(offer)), "negotiate");
    must(hear(m, data, sizeof(data), &len) == 'O' && len >= 12, "negotiation refused");
}

void mta_close(struct mta *m)
{
    say(m, 'Q', NULL, 0);
    close(m->fd);
    m->fd = -1;
}

/* "{name}" and a value, for the event that follows. */
static void macro(struct mta *m, char event, const char *name, const char *value)
{
    char data[1024];
    int len = snprintf(data, sizeof(data), "%c%s%c%s", event, name, 0, value);
    say(m, 'D', data, (size_t)len + 1);
}

static void bracketed(struct mta *m, char event, const char *addr)
{
    char data[600];
    int len = snprintf(data, sizeof(data), "<%s>", addr);
    say(m, event, data, (size_t)len + 1);
}

void mta_mail(struct mta *m, const char *from, const char *login)
{
    m->changes[0] = m->inserted[0] = '\0';
    m->skip_body = false;
    if (login != NULL) {
        macro(m, 'M', "{auth_authen}", login);
    }
    bracketed(m, 'M', from); /* not answered: so it was negotiated */
}

const char *mta_rcpt(struct mta *m, const char *to, const char *resolved)
{
    macro(m, 'R', "{rcpt_addr}", resolved != NULL ? resolved : to);
    bracketed(m, 'R', to);
    return judge(m);
}

/* From a line's start to the end of its field. */
static const char *field_end(const char *p)
{
    for (;;) {
        p = strstr(p, "\r\n");
        must(p != NULL, "header without an end");
        if (p[2] != ' ' && p[2] != '\t') {
            return p;
        }
        p += 2;
    }
}

static void say_field(struct mta *m, const char *p, const char *end)
{
    char data[PACKET / 2];
    const char *colon = memchr(p, ':', (size_t)(end - p));
    must(colon != NULL && (size_t)(end - p) + 2 < sizeof(data), "field");
    size_t n = (size_t)(colon - p);
    memcpy(data, p, n);
    data[n++] = '\0';
    for (p = colon + 1; p < end; p++) {
        if (*p != '\r') { /* folded lines end in LF here */
            data[n++] = *p;
        }
    }
    data[n++] = '\0';
    say(m, 'L', data, n);
}

void mta_header(struct mta *m, const char *text, size_t *body_at_r)
{
    const char *p = text;
    while (strncmp(p, "\r\n", 2) != 0) {
        const char *end = field_end(p);
        say_field(m, p, end);
        p = end + 2;
    }
    say(m, 'N', NULL, 0);
    *body_at_r = (size_t)(p + 2 - text);
}

bool mta_body(struct mta *m, const char *data, size_t len)
{
    if (m->skip_body) {
        return false;
    }
    bool said = say(m, 'B', data, len);
    const char *answer = said ? judge(m) : "lost";
    m->skip_body = strcmp(answer, "continue") != 0;
    return !m->skip_body;
}

const char *mta_end(struct mta *m)
{
    macro(m, 'E', "i", "4XYZ");
    say(m, 'E', NULL, 0);
    return judge(m);
}

const char *mta_data(struct mta *m, const char *text, size_t len)
{
    size_t at;
    mta_header(m, text, &at);
    for (; at < len; at += CHUNK) {
        if (!mta_body(m, text + at, len - at < CHUNK ? len - at : CHUNK)) {
            break;
        }
    }
    return mta_end(m);
}

void mta_abort(struct mta *m)
{
    say(m, 'A', NULL, 0);
}

const char *mta_send(struct mta *m, const char *from, const char *login, const char *to,
                     const char *text)
{
    mta_mail(m, from, login);
    if (strcmp(mta_rcpt(m, to, NULL), "continue") != 0) {
        return m->answer;
    }
    return mta_data(m, text, strlen(text));
}
