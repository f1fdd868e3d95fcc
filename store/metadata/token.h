/* token: device tokens in table push_token.
 *
 * A token is valid for 90 days from its last registration, and one registered more than
 * 60 s in the future is not valid; the server's clock judges. Invalid ones are never
 * answered; expired ones go at the next write of their address, while one from the
 * future waits: it is the clock that was wrong. When an address would have more
 * than TOKENS_MAX tokens or TOKENS_BYTES_MAX bytes of them, those not seen for longest
 * go.
 *
 * Statements about one address run one after the other in the order they were given,
 * whichever connection they came from, so that a lookup sees what was set before it. */
#ifndef METADATA_TOKEN_H
#define METADATA_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/loop.h"

#include "change.h"

struct token_store;

struct token_store *token_store_new(struct cm_loop *loop, const char *conninfo);
/* Outstanding callbacks get RETRY. */
void token_store_free(struct token_store **store);
/* Every connection is there. */
bool token_store_up(const struct token_store *store);

/* text: the valid tokens in order of registration, joined by one blank; len bytes, any
 * of them possible; "" when there is none. On failure text is NULL. Valid during the
 * callback only, which may come before return. */
typedef void (*token_list_cb)(const char *text, size_t len, const struct cm_err *err,
                              void *ctx);
void token_list(struct token_store *store, const char *addr, token_list_cb cb,
                void *ctx);

/* err->kind is CM_ERR_NONE when it is done. The change is copied. May come before
 * return. */
typedef void (*token_done_cb)(const struct cm_err *err, void *ctx);
void token_change(struct token_store *store, const char *addr,
                  const struct change *change, token_done_cb cb, void *ctx);

#endif
