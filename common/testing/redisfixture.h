/* redisfixture: a throw-away Redis for tests: own temporary directory, unix socket
 * only, append-only file (written to disk each second, or at each command), dies with
 * the test. Anything unexpected ends the test program with a text. */
#ifndef REDISFIXTURE_H
#define REDISFIXTURE_H

struct redisfixture;

/* Starts. NULL when Redis is not installed. */
struct redisfixture *redisfixture_new(void);
void redisfixture_free(struct redisfixture **fx); /* stops, removes the directory */

/* A setting for the following starts, as in redis.conf. At most 8. */
void redisfixture_option(struct redisfixture *fx, const char *name, const char *value);

void redisfixture_start(struct redisfixture *fx); /* returns when data is loaded */
void redisfixture_spawn(struct redisfixture *fx); /* returns at once: it loads */
void redisfixture_stop(struct redisfixture *fx);  /* SIGTERM */
void redisfixture_kill(struct redisfixture *fx);  /* SIGKILL */
void redisfixture_freeze(struct redisfixture *fx);
void redisfixture_unfreeze(struct redisfixture *fx);

/* The socket. */
const char *redisfixture_path(const struct redisfixture *fx);

/* One command: words ended by NULL. The answer as text (numbers in decimal, lists
 * joined by blanks, nil and "" as ""), valid until the next call. */
const char *redisfixture_ask(struct redisfixture *fx, ...) __attribute__((sentinel));

#endif
