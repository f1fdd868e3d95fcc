/* daemonkit: for tests that run a whole program of ours and speak to its socket. Used
 * inside cmocka tests; anything unexpected ends the test program with a text. */
#ifndef DAEMONKIT_H
#define DAEMONKIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A new directory below /tmp, its name written to dir, for what a test leaves. */
void daemonkit_dir(char dir[64], const char *test);
/* path: NAME in that directory. */
void daemonkit_path(char path[96], const char *dir, const char *name);
void daemonkit_dir_remove(const char *dir); /* with all that is in it */

/* Unix stream sockets. Closed by the caller. */
int daemonkit_listen(const char *path);
int daemonkit_dial(const char *path); /* reads give up after 10 s */
void daemonkit_say(int fd, const void *data, size_t len);
void daemonkit_say_text(int fd, const char *text);
/* One line, LF included; "" at the end of the connection. */
void daemonkit_hear(int fd, char *line, size_t size);

/* Starts argv[0] as systemd would, with the listener under that FileDescriptorName, its
 * stderr appended to the file at log_path. It is killed when the test dies. */
pid_t daemonkit_start(const char *const *argv, int listener, const char *name,
                      const char *log_path);
/* The same with several: names as in LISTEN_FDNAMES, "dict:metrics", and as many
 * listeners. */
pid_t daemonkit_start_with(const char *const *argv, const int *listeners,
                           const char *names, const char *log_path);
/* SIGTERM or another, then waits. Returns the wait status. */
int daemonkit_stop(pid_t pid, int signo);
/* Is this text in what was logged since the last look? "" just looks. */
bool daemonkit_log_has(const char *log_path, const char *text);

#endif
