#include "relay.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "daemonkit/daemonkit.h"
#include "world.h"

static char dir[64], ca_path[96], ini_path[96], lmtp_path[96], log_path[96],
    egress_path[96], state_path[96];
static int listener;
pid_t relay_pid;

/* The program */

void relay_start(const char *more, const char *more_value)
{
    char dns[40], https[16], smtp[16];
    snprintf(dns, sizeof(dns), "127.0.0.1#%d", world_dns_port());
    snprintf(https, sizeof(https), "%d", world_https_port());
    snprintf(smtp, sizeof(smtp), "%d", world_smtp_port());
    const char *argv[] = {TRANSPORT_PROGRAM,
                          "--config",
                          ini_path,
                          "--egress",
                          egress_path,
                          "--state",
                          state_path,
                          "--spool",
                          dir,
                          "--ca",
                          ca_path,
                          "--resolver",
                          dns,
                          "--https-port",
                          https,
                          "--smtp-port",
                          smtp,
                          "--reach",
                          "any",
                          more,
                          more_value,
                          NULL};
    relay_pid = daemonkit_start(argv, listener, "lmtp", log_path);
    int fd = daemonkit_dial(lmtp_path); /* until it serves */
    char line[64];
    daemonkit_hear(fd, line, sizeof(line));
    close(fd);
}

void relay_stop(void)
{
    int status = daemonkit_stop(relay_pid, SIGTERM);
    relay_pid = 0;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int relay_setup(void **state)
{
    (void)state;
    world_forget();
    relay_start(NULL, NULL);
    return 0;
}

int relay_teardown(void **state)
{
    (void)state;
    if (relay_pid != 0) {
        relay_stop();
    }
    unlink(egress_path);
    world_dns_mood(WORLD_DNS_WELL, 0);
    return 0;
}

void relay_write_egress(const char *text)
{
    struct cm_err err;
    assert_int_equal(cm_file_replace(egress_path, text, strlen(text), 0644, &err), 0);
}

/* LMTP */

char relay_reply[1024];

const char *relay_hear(int fd)
{
    do {
        daemonkit_hear(fd, relay_reply, sizeof(relay_reply));
    } while (strlen(relay_reply) > 3 && relay_reply[3] == '-');
    relay_reply[strcspn(relay_reply, "\r\n")] = '\0';
    return relay_reply;
}

const char *relay_ask(int fd, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line) - 2, fmt, ap);
    va_end(ap);
    strcat(line, "\r\n");
    daemonkit_say_text(fd, line);
    return relay_hear(fd);
}

int relay_dial(void)
{
    int fd = daemonkit_dial(lmtp_path);
    struct timeval limit = {.tv_sec = 60};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_string_equal(relay_hear(fd), "220 chatmail-transport LMTP");
    assert_string_equal(relay_ask(fd, "LHLO postfix"), "250 8BITMIME");
    return fd;
}

/* Up to DATA's relay_reply; to: addresses separated by blanks, all of them must be
 * taken. */
const char *relay_begin(int fd, const char *from, const char *to)
{
    char list[1024], *rest = NULL;
    snprintf(list, sizeof(list), "%s", to);
    assert_string_equal(relay_ask(fd, "MAIL FROM:<%s> SIZE=100 BODY=8BITMIME", from),
                        "250 OK");
    for (char *a = strtok_r(list, " ", &rest); a; a = strtok_r(NULL, " ", &rest)) {
        assert_string_equal(relay_ask(fd, "RCPT TO:<%s> NOTIFY=FAILURE", a), "250 OK");
    }
    return relay_ask(fd, "DATA");
}

void relay_finish(int fd, const char *body, size_t len)
{
    while (len > 0) {
        size_t n = len < 60000 ? len : 60000;
        daemonkit_say(fd, body, n);
        body += n;
        len -= n;
    }
    daemonkit_say_text(fd, ".\r\n");
}

const char *relay_deliver(const char *to)
{
    int fd = relay_dial();
    const char *ready = relay_begin(fd, "me@here.example", to);
    if (ready[0] == '3') {
        relay_finish(fd, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
        relay_hear(fd);
    }
    close(fd);
    return relay_reply;
}

void relay_domain(const char *name, int n)
{
    char mx[80], host[64], ip[32];
    snprintf(host, sizeof(host), "peer%d.example", n);
    snprintf(mx, sizeof(mx), "10 %s", host);
    snprintf(ip, sizeof(ip), "127.0.0.%d", n);
    world_record(name, "MX", mx);
    world_record(host, "A", ip);
}

const char *relay_from_peer(const char *text, int n)
{
    static char line[512];
    snprintf(line, sizeof(line), "%s (forwarded from peer%d.example[127.0.0.%d:%d])",
             text, n, n, world_smtp_port());
    return line;
}

int relay_open(void)
{
    static const char ini[] =
        "[params]\nmail_domain = here.example\nmax_message_size = 4000000\n";
    struct cm_err err;
    snprintf(dir, sizeof(dir), "/tmp/transport-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(ca_path, sizeof(ca_path), "%s/ca.pem", dir);
    snprintf(ini_path, sizeof(ini_path), "%s/chatmail.ini", dir);
    snprintf(lmtp_path, sizeof(lmtp_path), "%s/lmtp.sock", dir);
    snprintf(log_path, sizeof(log_path), "%s/log", dir);
    snprintf(egress_path, sizeof(egress_path), "%s/egress", dir);
    snprintf(state_path, sizeof(state_path), "%s/state", dir);
    mkdir(state_path, 0700);
    if (cm_file_replace(ini_path, ini, strlen(ini), 0644, &err) != 0) {
        return -1;
    }
    world_open(ca_path);
    listener = daemonkit_listen(lmtp_path);
    return 0;
}

int relay_close(int ok)
{
    char command[96];
    world_close();
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return ok && system(command) != 0 ? -1 : 0;
}
