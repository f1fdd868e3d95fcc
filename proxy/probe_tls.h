/* probe_tls: TLS for probes. Behind a table of functions, so that a program that does
 * without it does not load the library. Private to proxy/. */
#ifndef PX_PROBE_TLS_H
#define PX_PROBE_TLS_H

#include <stddef.h>
#include <sys/types.h>

enum px_tls_step {
    PX_TLS_DONE,
    PX_TLS_READ,  /* call again when there is something to read */
    PX_TLS_WRITE, /* or room to write */
    PX_TLS_RESET,
    PX_TLS_WRONG, /* no TLS, another name, a certificate that is over */
};

struct px_probe_tls {
    /* *shared: of the prober, NULL at first. fd is borrowed. */
    void *(*start)(void **shared, int fd, const char *name);
    enum px_tls_step (*shake)(void *tls, const char *name);
    /* *n_r: with DONE what came; 0: the end. */
    enum px_tls_step (*hear)(void *tls, char *out, size_t size, size_t *n_r);
    void (*goodbye)(void *tls, const char *text);
    void (*free)(void *tls); /* accepts NULL */
    void (*free_shared)(void *shared);
};

#endif
