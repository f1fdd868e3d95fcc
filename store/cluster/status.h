/* status: the answer to `ctl status`, one line of JSON; see chatmail-cluster(8). */
#ifndef STATUS_H
#define STATUS_H

#include <stdint.h>

#include "health.h"
#include "proxy/apply.h"
#include "proxy/state.h"

/* What the last silence of a gateway came to (waker.h). at_ms 0: none yet. */
struct woken {
    int64_t at_ms;
    int64_t accounts, rung;
    char why[256];
};

/* refused: why the newest document in the database is not obeyed, "" when it is. facts:
 * by number, of the store's end of each tunnel. woken: by number. Caller frees. */
char *status_json(const struct px_state *state, const char *refused,
                  const struct health *health, const struct woken *woken,
                  const struct px_tunnel_facts *(*facts)(int number, void *ctx),
                  void *ctx, int64_t now_ms);

#endif
