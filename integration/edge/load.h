/* load: what is sent through a gateway to measure it: a server for the store's end, and
 * clients. All blocking, each in a process of its own. */
#ifndef EDGE_LOAD_H
#define EDGE_LOAD_H

#include <stddef.h>
#include <stdint.h>

#define LOAD_ECHO 993 /* sends back what comes */
#define LOAD_SINK                                                                      \
    465 /* takes all; at the end of it answers with the count, 8 bytes                 \
         */

/* Serves on both ports, IPv4 and IPv6, until killed. */
_Noreturn void load_serve(void);

struct load_figures {
    double bytes_per_s;
    double connections_per_s; /* connect, a byte there and back, reset */
    double p50_ms, p99_ms;    /* of 64 bytes there and back on one connection */
};

/* streams: uploads at a time, for so many ms. */
double load_throughput(const char *address, unsigned streams, int64_t ms);
double load_connections(const char *address, unsigned threads, int64_t ms);
void load_latency(const char *address, unsigned rounds, double *p50_ms, double *p99_ms);

/* Opens n connections to the echo port and says a byte on each; returns how many are
 * open, their descriptors in fds (n of them). */
size_t load_open(const char *address, size_t n, int *fds);
/* How many still carry a byte there and back. Closes them. */
size_t load_check(const int *fds, size_t n);

#endif
