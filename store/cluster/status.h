/* status: the answer to `ctl status`, one line of JSON; see chatmail-cluster(8). */
#ifndef STATUS_H
#define STATUS_H

#include <stdint.h>

#include "health.h"
#include "proxy/apply.h"
#include "proxy/state.h"

/* refused: why the newest document in the database is not obeyed, "" when it is. facts:
 * by number, of the store's end of each tunnel. Caller frees. */
char *status_json(const struct px_state *state, const char *refused,
                  const struct health *health,
                  const struct px_tunnel_facts *(*facts)(int number, void *ctx),
                  void *ctx, int64_t now_ms);

#endif
