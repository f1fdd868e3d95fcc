/* fetch: reads what a unix socket says until it hangs up. */
#ifndef WEB_FETCH_H
#define WEB_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/loop.h"

struct fetch;

struct fetch_hooks {
    void (*data)(const char *data, size_t len, void *ctx);
    /* Once, and never inside fetch_new(): the other side has hung up (true), or could
     * not be reached, was silent for too long or said too much. May free the fetch. */
    void (*end)(bool whole, void *ctx);
    void *ctx;
};

struct fetch *fetch_new(struct cm_loop *loop, const char *path, int64_t limit_ms,
                        size_t max_bytes, const struct fetch_hooks *hooks);
void fetch_free(struct fetch **fetch); /* no end() after that */

#endif
