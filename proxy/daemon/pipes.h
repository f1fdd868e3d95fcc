/* pipes: a pool of kernel pipes for splice(2). A connection borrows one only while
 * bytes are on their way, so that an idle one costs none. */
#ifndef PROXY_PIPES_H
#define PROXY_PIPES_H

#include <stdbool.h>
#include <stddef.h>

#define PIPES_KEPT 64          /* idle ones kept for the next borrower */
#define PIPE_BYTES (64 * 1024) /* what one holds, as the kernel makes them */

struct pipes;

struct pipe_ends {
    int in, out; /* write here, read there */
};

/* At most `max` pipes at a time. */
struct pipes *pipes_new(size_t max);
void pipes_free(struct pipes **pipes);
/* false: the limit is reached or the kernel has none. */
bool pipes_borrow(struct pipes *pipes, struct pipe_ends *ends_r);
/* empty: nothing is in it. One with bytes in it is closed. */
void pipes_return(struct pipes *pipes, struct pipe_ends *ends, bool empty);
size_t pipes_lent(const struct pipes *pipes);

#endif
