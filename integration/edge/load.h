/* load: what is sent through a gateway to measure it: a server for the store's end, and
 * clients. All blocking, each in a process of its own. */
#ifndef EDGE_LOAD_H
#define EDGE_LOAD_H

#include <stddef.h>
#include <stdint.h>

#define LOAD_ECHO   993 /* sends back what comes */
#define LOAD_SINK   465 /* takes all; at its end it answers with the count, 8 bytes */
#define LOAD_SOURCE 587 /* sends until the other end has enough */

/* Serves on all three, IPv4 and IPv6, until killed. */
_Noreturn void load_serve(void);

/* Bytes a second, so many streams at a time. */
double load_upload(const char *address, unsigned streams, int64_t ms);
double load_download(const char *address, unsigned streams, int64_t ms);
/* A second: connect, a byte there and back, reset. */
double load_connections(const char *address, unsigned threads, int64_t ms);
/* Of 64 bytes there and back on one connection. */
void load_latency(const char *address, unsigned rounds, double *p50_ms, double *p99_ms);

/* Opens n connections to the echo port and says a byte on each; returns how many are
 * open, their descriptors in fds (n of them). */
size_t load_open(const char *address, size_t n, int *fds);
/* A byte there and back. One that fails is closed, and -1 from then on. */
void load_speak(int *fd);
/* How many still carry a byte there and back. Closes them. */
size_t load_check(const int *fds, size_t n);

#endif
