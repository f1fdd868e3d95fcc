/* conn: one HTTP exchange per connection: a request is read and handed to its route as
 * it comes, the route answers, the connection is closed.
 *
 * Limits: a head comes within CONN_HEAD_MS, the rest within the route's arrive_ms and
 * without resting CONN_IDLE_MS; an answer within the route's answer_ms; a body nobody
 * asked for is CONN_IGNORED_MAX bytes. After the answer the rest of a request is read
 * and thrown away for CONN_LINGER_MS, so that the peer (nginx, in the middle of a body)
 * sees the answer and not a reset. */
#ifndef WEB_CONN_H
#define WEB_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/loop.h"

#define CONN_HEAD_MS     15000
#define CONN_IDLE_MS     30000
#define CONN_LINGER_MS   5000
#define CONN_IGNORED_MAX (64u << 10)
#define CONN_ADDRESS_MAX 46

#define METHOD_GET  1u
#define METHOD_HEAD 2u
#define METHOD_POST 4u

struct exchange {
    void *site;        /* what the routes work on */
    void *state;       /* the route's own */
    unsigned method;   /* one of METHOD_ */
    const char *query; /* behind the '?', undecoded; "" without */
    /* As nginx tells them: who asked, and at which address of this machine (each
     * gateway has its own); "" when unknown. */
    char client[CONN_ADDRESS_MAX];
    char local[CONN_ADDRESS_MAX];
    int64_t length; /* of the body: 0 none, -1 not known; valid from head() on */
};

/* Any function may be NULL. Each may answer; nothing but gone() is called after that.
 */
struct route {
    const char *path; /* exact; NULL ends the table */
    const char *name; /* in metrics; routes that share it stand side by side */
    unsigned methods;
    int64_t arrive_ms; /* all of the request, from the end of its head */
    int64_t answer_ms; /* from the end of the request */
    void (*field)(struct exchange *x, const char *name, const char *value);
    void (*head)(struct exchange *x);
    void (*body)(struct exchange *x, const char *data, size_t len); /* NULL: ignored */
    void (*end)(struct exchange *x);
    /* The exchange is over, answered by the route, by conn (bad or slow request) or not
     * at all: forget it. Once. */
    void (*gone)(struct exchange *x);
};

struct answer {
    int status;       /* one of those in conn.c */
    const char *type; /* NULL: text/plain */
    const char *text;
    size_t len;            /* 0: strlen(text) */
    const char *location;  /* or NULL */
    int64_t retry_after_s; /* 0: not said */
    const char *inside; /* what nginx shall send instead (X-Accel-Redirect), or NULL */
};

/* Once per exchange; all is copied. Not called inside gone(). */
void exchange_answer(struct exchange *x, const struct answer *answer);
void exchange_text(struct exchange *x, int status, const char *text);
/* No more body() and end() until resumed; the peer is made to wait. */
void exchange_pause(struct exchange *x);
void exchange_resume(struct exchange *x); /* body() may be called before return */

struct conns;

/* routes, site: borrowed. behind_nginx: X-Real-IP and X-Portico-Local are believed. */
struct conns *conns_new(struct cm_loop *loop, const struct route *routes, void *site,
                        bool behind_nginx, size_t max);
void conns_free(struct conns **conns); /* gone() for all that are open */
void conns_adopt(struct conns *conns, int fd);
bool conns_full(const struct conns *conns);
size_t conns_open(const struct conns *conns);
/* chatmail_web_answers_total{route,code} and chatmail_web_connections. */
void conns_metrics(const struct conns *conns, struct cm_buf *out);

#endif
