/* dict: answers Dovecot's dict protocol on accepted connections (relay-spec.md 2.1).
 *
 * Wire majors 2..4 of Dovecot's client are accepted (Debian 12's 2.3.19 says 3,
 * Dovecot 2.4 says 4); another major is logged and the connection closed. Fields are
 * unescaped before a handler sees them and replies are escaped. Replies leave in
 * request order, whatever order handlers finish in. Transactions live per connection;
 * set, unset and increment are collected and given to commit() as one list; rollback or
 * a lost connection drops them.
 *
 * Limits: line 64 KiB (longer: connection closed), CM_DICT_MAX_PENDING unanswered
 * requests per connection (then it is not read until one is answered), CM_DICT_MAX_TX
 * open transactions per connection, CM_DICT_MAX_OPS operations in one transaction,
 * CM_DICT_MAX_TX_BYTES bytes in all open transactions of a connection,
 * CM_DICT_MAX_CONNS connections (more are closed; ask cm_dict_full() before accepting).
 */
#ifndef CM_DICT_H
#define CM_DICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

#define CM_DICT_MAX_PENDING  256
#define CM_DICT_MAX_TX       64
#define CM_DICT_MAX_OPS      1024
#define CM_DICT_MAX_CONNS    8192
#define CM_DICT_MAX_TX_BYTES (4u << 20)
#define CM_DICT_MAX_LINE     (64u << 10)

struct cm_dict;
struct cm_dict_req; /* one L, I or C waiting for its answer */

enum cm_dict_op_kind { CM_DICT_SET, CM_DICT_UNSET, CM_DICT_INC };

struct cm_dict_op {
    enum cm_dict_op_kind kind;
    const char *key;
    const char
        *value; /* SET: value_len bytes, may hold NUL; INC: decimal text; else "" */
    size_t value_len;
};

struct cm_dict_handler {
    /* Each is called once per request and must be answered, now or later, by exactly
     * one cm_dict_reply_*() (or rows and cm_dict_reply_end); req dies with that call.
     * Strings are valid until then. user may be "". A NULL handler answers N (lookup),
     * an empty list (iterate) or F (commit). */
    void (*lookup)(struct cm_dict_req *req, const char *key, const char *user,
                   void *ctx);
    void (*iterate)(struct cm_dict_req *req, unsigned flags, const char *path,
                    const char *user, void *ctx);
    void (*commit)(struct cm_dict_req *req, const struct cm_dict_op *ops, size_t n,
                   const char *user, void *ctx);
    /* The peer went away before the answer: forget req, it is dead now. Cancel slow
     * work if that is cheap. May be NULL when every answer is given at once. */
    void (*gone)(struct cm_dict_req *req, void *ctx);
};

struct cm_dict *cm_dict_new(struct cm_loop *loop, const struct cm_dict_handler *handler,
                            void *ctx);
void cm_dict_free(struct cm_dict **dict); /* closes every connection */
/* Takes ownership of fd. */
void cm_dict_adopt(struct cm_dict *dict, int fd);
size_t cm_dict_connections(const struct cm_dict *dict);
size_t cm_dict_pending(const struct cm_dict *dict); /* requests not answered yet */
bool cm_dict_full(const struct cm_dict *dict);      /* CM_DICT_MAX_CONNS reached */
/* For the end of a daemon: nobody is connected, or nothing waits for an answer and the
 * connections have had idle_ms of waited_ms to ask something. */
bool cm_dict_quiet(const struct cm_dict *dict, int64_t waited_ms, int64_t idle_ms);

/* A place for the handler's own pointer, so that gone() finds its work. */
void cm_dict_req_set_data(struct cm_dict_req *req, void *data);
void *cm_dict_req_data(const struct cm_dict_req *req);

void cm_dict_reply_value(struct cm_dict_req *req, const char *value,
                         size_t len);             /* O */
void cm_dict_reply_none(struct cm_dict_req *req); /* N */
/* F. Dovecot logs the key of a lookup that fails so: not for keys that hold a secret.
 */
void cm_dict_reply_fail(struct cm_dict_req *req, const char *text);
void cm_dict_reply_ok(struct cm_dict_req *req); /* a commit succeeded */
void cm_dict_row(struct cm_dict_req *req, const char *key, const char *value,
                 size_t len);
void cm_dict_reply_end(struct cm_dict_req *req); /* end of an iteration */

/* Back-pressure for long lists: cb comes once, perhaps before return, as soon as little
 * of this request's output waits for the peer. Not called when the peer goes away:
 * gone() is. */
void cm_dict_when_room(struct cm_dict_req *req,
                       void (*cb)(struct cm_dict_req *req, void *ctx), void *ctx);

#endif
