/* relay: the real chatmail-transport beside the world of world.h, and an LMTP client of
 * it. Whatever does not go as it must fails the test.
 *
 * One of it at a time; relay_open() once, then relay_setup() and relay_teardown()
 * around each test. */
#ifndef RELAY_H
#define RELAY_H

#include <sys/types.h>

#include "common/err.h"

#define RELAY_MESSAGE "Subject: x\r\n\r\nhello\r\n..dot\r\n"
#define RELAY_BIG     (3u << 20)
#define RELAY_LIMIT   4000000u /* max_message_size */

extern pid_t relay_pid;
extern char
    relay_reply[1024]; /* the newest, without line end; of many lines the last */

/* Makes the world and a directory for the program. 0, or -1. */
int relay_open(void);
/* 0, or -1; ok: nothing is left behind, else the log is. */
int relay_close(int ok);
/* With one more option, or NULL. */
void relay_start(const char *more, const char *more_value);
void relay_stop(void); /* SIGTERM; it must end well */
int relay_setup(void **state);
int relay_teardown(void **state);
void relay_write_egress(const char *text);

/* Answers are relay_reply. */
const char *relay_hear(int fd);
const char *relay_ask(int fd, const char *fmt, ...) CM_PRINTF(2, 3);
int relay_dial(void); /* past LHLO */
/* Up to DATA's reply; to: addresses separated by blanks, all of them must be taken. */
const char *relay_begin(int fd, const char *from, const char *to);
void relay_finish(int fd, const char *body, size_t len);
/* A whole message to one recipient or one destination; the first reply. */
const char *relay_deliver(const char *to);

/* A domain with one MX, peerN.example, at 127.0.0.N. */
void relay_domain(const char *name, int n);
/* What a refusal of that peer becomes. */
const char *relay_from_peer(const char *text, int n);

#endif
