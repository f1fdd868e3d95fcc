#include "fakemta.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fakemta_seen all;
static enum fakemta_mood mood_now;

struct session {
    FILE *in;
    int fd;
    enum fakemta_mood mood;
    char line[4096];
    size_t len;
};

uint64_t fakemta_sum(uint64_t sum, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        sum = sum * 31 + (unsigned char)data[i];
    }
    return sum;
}

void fakemta_mood(enum fakemta_mood mood)
{
    pthread_mutex_lock(&lock);
    mood_now = mood;
    pthread_mutex_unlock(&lock);
}

struct fakemta_seen fakemta_seen(void)
{
    pthread_mutex_lock(&lock);
    struct fakemta_seen copy = all;
    pthread_mutex_unlock(&lock);
    return copy;
}

static void say(struct session *s, const char *text)
{
    (void)!send(s->fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Up to and with the next LF, or a full buffer. */
static bool hear(struct session *s)
{
    s->len = 0;
    int c;
    while (s->len + 1 < sizeof(s->line) && (c = getc(s->in)) != EOF) {
        s->line[s->len++] = (char)c;
        if (c == '\n') {
            break;
        }
    }
    s->line[s->len] = '\0';
    return s->len > 0;
}

static bool starts(const struct session *s, const char *word)
{
    return strncmp(s->line, word, strlen(word)) == 0;
}

static void answer_message(struct session *s, size_t bytes, uint64_t sum)
{
    pthread_mutex_lock(&lock);
    all.bytes = bytes;
    all.sum = sum;
    if (s->mood == FAKEMTA_ACCEPT || s->mood == FAKEMTA_SLOW) {
        all.messages++;
    }
    pthread_mutex_unlock(&lock);
    say(s, s->mood == FAKEMTA_REFUSE_MESSAGE
               ? "523 Encryption Needed: Invalid Unencrypted Mail\r\n"
           : s->mood == FAKEMTA_DEFER ? "451 4.7.1 DNS\r\n"
                                      : "250 2.0.0 Ok: queued as 4ABC\r\n");
}

/* Until the dot. False: it did not come. */
static bool take_message(struct session *s)
{
    size_t bytes = 0, next_nap = 65536;
    uint64_t sum = 0;
    bool line_start = true;
    say(s, "354 End data with <CR><LF>.<CR><LF>\r\n");
    while (hear(s)) {
        if (line_start && strcmp(s->line, ".\r\n") == 0) {
            answer_message(s, bytes, sum);
            return true;
        }
        bytes += s->len;
        sum = fakemta_sum(sum, s->line, s->len);
        line_start = s->line[s->len - 1] == '\n';
        if (s->mood == FAKEMTA_HANG_UP && bytes > 1000) {
            break;
        }
        if (s->mood == FAKEMTA_SLOW && bytes > next_nap) {
            next_nap += 65536;
            usleep(30000);
        }
    }
    pthread_mutex_lock(&lock);
    all.cut++;
    pthread_mutex_unlock(&lock);
    return false;
}

/* False: the session is over. */
static bool command(struct session *s)
{
    if (starts(s, "EHLO ")) {
        say(s, "250-fake\r\n250-PIPELINING\r\n250-SIZE 31457280\r\n250 8BITMIME\r\n");
    } else if (starts(s, "MAIL FROM:")) {
        pthread_mutex_lock(&lock);
        snprintf(all.from, sizeof(all.from), "%.*s", (int)s->len - 12, s->line + 10);
        all.rcpts = 0;
        pthread_mutex_unlock(&lock);
        say(s, "250 2.1.0 Ok\r\n");
    } else if (starts(s, "RCPT TO:<nobody")) {
        say(s, "550 5.1.1 no such user\r\n");
    } else if (starts(s, "RCPT TO:<")) {
        pthread_mutex_lock(&lock);
        all.rcpts++;
        pthread_mutex_unlock(&lock);
        say(s, "250 2.1.5 Ok\r\n");
    } else if (strcmp(s->line, "DATA\r\n") == 0) {
        return take_message(s);
    } else if (strcmp(s->line, "QUIT\r\n") == 0) {
        say(s, "221 2.0.0 Bye\r\n");
        return false;
    } else {
        pthread_mutex_lock(&lock);
        all.strange++;
        pthread_mutex_unlock(&lock);
        say(s, "502 what\r\n");
    }
    return true;
}

static void *serve(void *arg)
{
    struct session s = {.fd = (int)(intptr_t)arg};
    pthread_mutex_lock(&lock);
    s.mood = mood_now;
    all.sessions++;
    pthread_mutex_unlock(&lock);
    s.in = fdopen(s.fd, "r");
    if (s.mood == FAKEMTA_BUSY) {
        say(&s, "421 4.3.2 busy\r\n");
    } else {
        say(&s, "220 fake ESMTP\r\n");
        while (hear(&s) && command(&s)) {
        }
    }
    fclose(s.in);
    return NULL;
}

static void *listen_on(void *arg)
{
    int fd = (int)(intptr_t)arg, conn;
    while ((conn = accept(fd, NULL, NULL)) >= 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)conn) != 0) {
            abort();
        }
        pthread_detach(thread);
    }
    return NULL;
}

int fakemta_start(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    pthread_t thread;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(fd, 128) != 0 || getsockname(fd, (struct sockaddr *)&at, &len) != 0 ||
        pthread_create(&thread, NULL, listen_on, (void *)(intptr_t)fd) != 0) {
        perror("fakemta");
        abort();
    }
    pthread_detach(thread);
    return ntohs(at.sin_port);
}
