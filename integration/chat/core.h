/* core: what chat.c and people.c share. Private to this directory: it shows jansson. */
#ifndef CHAT_CORE_H
#define CHAT_CORE_H

#include "chat.h"
#include "rpc.h"

#define CHAT_CALL_MS 20000

struct chat_received {
    unsigned account;
    char *text;
    char *file_name; /* "" for none */
    json_int_t id;
    json_int_t chat;
    struct chat_message message;
};

struct chat_client {
    struct rpc *rpc;
    struct chat_received *inbox;
    size_t count;
};

/* A call with the account first; `more` (may be NULL) is a second parameter, taken
 * over. */
CM_MUSTUSE int chat_call(struct chat_client *client, const char *method,
                         unsigned account, json_t *more, int64_t timeout_ms,
                         json_t **result_r, struct cm_err *err);
/* Waits for both ends' progress 1000 after the joiner has scanned the code. */
CM_MUSTUSE int chat_join_by(struct chat_end *inviter, struct chat_end *joiner,
                            json_t *code_of, int64_t timeout_ms, int64_t *ms_r,
                            struct cm_err *err);
/* The first message with this text that has come, NULL for none. Valid until the next
 * wait. */
const struct chat_received *chat_find(const struct chat_client *client,
                                      unsigned account, const char *text);
/* Waits for one whose text begins so: behind it the core says what file is still to
 * come. Returns 1 with *r, 0, -1. */
CM_MUSTUSE int chat_wait_begins(struct chat_client *client, unsigned account,
                                const char *text, int64_t until_ms,
                                const struct chat_received **r, struct cm_err *err);
/* A large one comes in two parts, and at first without its file. Returns 1, 0, -1. */
CM_MUSTUSE int chat_await_file(struct chat_client *client,
                               const struct chat_received *r, int64_t until_ms,
                               char path_r[512], struct cm_err *err);

#endif
