#include "pipes.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mem.h"

struct pipes {
    struct pipe_ends kept[PIPES_KEPT];
    size_t kept_count;
    size_t lent;
    size_t max;
};

struct pipes *pipes_new(size_t max)
{
    struct pipes *pipes = cm_calloc(1, sizeof(*pipes));
    pipes->max = max;
    return pipes;
}

static void close_ends(const struct pipe_ends *ends)
{
    close(ends->in);
    close(ends->out);
}

void pipes_free(struct pipes **pipes)
{
    if (*pipes == NULL) {
        return;
    }
    for (size_t i = 0; i < (*pipes)->kept_count; i++) {
        close_ends(&(*pipes)->kept[i]);
    }
    free(*pipes);
    *pipes = NULL;
}

bool pipes_borrow(struct pipes *pipes, struct pipe_ends *ends_r)
{
    int fds[2];

    if (pipes->kept_count > 0) {
        *ends_r = pipes->kept[--pipes->kept_count];
    } else if (pipes->lent >= pipes->max || pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0) {
        return false;
    } else {
        *ends_r = (struct pipe_ends){.in = fds[1], .out = fds[0]};
    }
    pipes->lent++;
    return true;
}

void pipes_return(struct pipes *pipes, struct pipe_ends *ends, bool empty)
{
    pipes->lent--;
    if (empty && pipes->kept_count < PIPES_KEPT) {
        pipes->kept[pipes->kept_count++] = *ends;
    } else {
        close_ends(ends);
    }
    *ends = (struct pipe_ends){-1, -1};
}

size_t pipes_lent(const struct pipes *pipes)
{
    return pipes->lent;
}
