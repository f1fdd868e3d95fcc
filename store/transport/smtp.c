#include "smtp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "address.h"
#include "dial.h"
#include "reply.h"

#define PIECE (32u << 10) /* of the message, given to the connection at a time */

enum state {
    CONNECTING,
    GREETING,
    EHLO,
    STARTTLS,
    SHAKING,
    EHLO_AGAIN,
    RESETTING, /* a connection that has carried a message before */
    ENVELOPE,  /* MAIL, RCPT ..., DATA: `answered` says which reply is next */
    BODY,
    FINAL,
    EMPTY /* DATA was taken though nobody is left: a lone dot ends it */
};

struct smtp {
    struct smtp_options o;
    smtp_cb cb;
    void *ctx;
    enum state state;
    struct dial *dial;
    struct wire *wire;
    struct cm_timer *limit;
    struct pool_link link;  /* but for its wire */
    bool kept;              /* it has carried messages before this one */
    bool spoken;            /* it has greeted us, or answered RSET */
    bool more;              /* bytes came behind the reply in hand */
    unsigned code;          /* of the newest reply */
    size_t asked, answered; /* of MAIL, the RCPTs and DATA, in this order */
    size_t taken;           /* recipients */
    uint64_t sent;          /* of the message */
    char **replies;         /* NULL: not refused */
    struct reply_reader reader;
};

static void on_dial(int fd, const struct peer_address *address,
                    const struct cm_err *err, void *ctx);

/* The end */

void smtp_cancel(struct smtp **sp)
{
    struct smtp *s = *sp;
    if (s == NULL) {
        return;
    }
    dial_cancel(&s->dial);
    wire_free(&s->wire);
    cm_timer_free(&s->limit);
    for (size_t i = 0; i < s->o.to_count; i++) {
        free(s->replies[i]);
    }
    free(s->replies);
    free(s);
    *sp = NULL;
}

bool smtp_spoken(const struct smtp *s)
{
    return s->spoken;
}

/* Returns false, so that callers stop. */
static bool finish(struct smtp *s, enum smtp_end end, const struct cm_err *err)
{
    struct smtp_result result = {
        .end = end, .connected = s->spoken, .replies = s->replies};
    dial_cancel(&s->dial);
    wire_free(&s->wire);
    cm_timer_stop(s->limit);
    s->cb(&result, err, s->ctx);
    smtp_cancel(&s);
    return false;
}

static void connect_to(struct smtp *s)
{
    s->state = CONNECTING;
    reply_init(&s->reader);
    s->dial = dial_start(s->o.loop, s->o.addresses, s->o.address_count, s->o.port,
                         s->o.source, SMTP_CONNECT_MS, on_dial, s);
}

/* Nothing has been taken of this message, and what is wrong is perhaps the age of the
 * connection: once more from the beginning, over a fresh one. */
static bool again(struct smtp *s)
{
    wire_free(&s->wire);
    cm_timer_stop(s->limit);
    for (size_t i = 0; i < s->o.to_count; i++) {
        free(s->replies[i]);
        s->replies[i] = NULL;
    }
    s->asked = s->answered = s->taken = 0;
    s->sent = 0;
    s->spoken = s->kept = false;
    connect_to(s);
    return false;
}

/* What went wrong before or behind the final dot. */
static bool fail(struct smtp *s, const char *reason)
{
    struct cm_err err;
    if (s->kept && s->state != FINAL) {
        return again(s);
    }
    (void)cm_err_set(&err, CM_ERR_RETRY, "%s", reason);
    return finish(s, s->state == FINAL ? SMTP_UNCERTAIN : SMTP_TROUBLE, &err);
}

static struct pool_key key_of(const struct smtp *s)
{
    return (struct pool_key){.host = s->o.host,
                             .port = s->o.port,
                             .tls = s->o.tls != NULL,
                             .verify = s->o.verify,
                             .ehlo = s->o.ehlo,
                             .source = s->o.source};
}

/* All that was said has its reply, and the server wants to go on. */
static bool reusable(const struct smtp *s)
{
    bool at_rest = s->state == FINAL || s->state == EMPTY ||
                   (s->state == ENVELOPE && s->asked == s->answered);
    return at_rest && !s->more && s->code != 421;
}

static bool done(struct smtp *s)
{
    struct cm_err none = {.kind = CM_ERR_NONE};
    if (reusable(s)) {
        struct pool_key key = key_of(s);
        s->link.wire = s->wire;
        s->link.uses++;
        s->wire = NULL;
        pool_give(s->o.pool, &key, &s->link);
    } else {
        pool_quit(&s->wire);
    }
    return finish(s, SMTP_ANSWERED, &none);
}

static void on_limit(void *ctx)
{
    static const char *const doing[] = {[CONNECTING] = "connection",
                                        [GREETING] = "greeting",
                                        [EHLO] = "reply to EHLO",
                                        [STARTTLS] = "reply to STARTTLS",
                                        [SHAKING] = "TLS handshake",
                                        [EHLO_AGAIN] = "reply to EHLO",
                                        [RESETTING] = "reply to RSET",
                                        [ENVELOPE] = "reply",
                                        [BODY] = "room for the message",
                                        [FINAL] = "final reply",
                                        [EMPTY] = "reply"};
    struct smtp *s = ctx;
    char text[96];
    snprintf(text, sizeof(text), "timed out waiting for the %s", doing[s->state]);
    fail(s, text);
}

/* Refusals */

static char *forwarded(const struct smtp *s, const struct reply *reply)
{
    char flat[REPLY_FLAT_MAX], peer[PEER_TEXT_MAX];
    reply_flat(reply, flat);
    peer_format(s->o.host, &s->link.address, s->o.port, peer);
    return cm_asprintf("%s (forwarded from %s)", flat, peer);
}

/* A reply that is neither yes nor a proper no says nothing about the message. */
static bool is_refusal(const struct reply *reply)
{
    return reply->code >= 400;
}

static void refuse_open(struct smtp *s, const struct reply *reply)
{
    for (size_t i = 0; i < s->o.to_count; i++) {
        if (s->replies[i] == NULL) {
            s->replies[i] = forwarded(s, reply);
        }
    }
}

/* The peer turns the whole message down. */
static bool refuse_all(struct smtp *s, const struct reply *reply)
{
    if (!is_refusal(reply)) {
        return fail(s, "a reply that has no place here");
    }
    refuse_open(s, reply);
    return done(s);
}

/* Commands */

static void step(struct smtp *s, enum state state, int64_t limit_ms)
{
    s->state = state;
    cm_timer_set(s->limit, limit_ms);
}

static void say(struct smtp *s, const char *verb, const char *argument)
{
    char line[ADDRESS_MAX + 32];
    int n = snprintf(line, sizeof(line), "%s%s\r\n", verb, argument);
    cm_assert(n > 0 && (size_t)n < sizeof(line));
    wire_send(s->wire, line, (size_t)n);
}

static bool say_ehlo(struct smtp *s, enum state state)
{
    step(s, state, SMTP_STEP_MS);
    say(s, "EHLO ", s->o.ehlo);
    return true;
}

/* Number i of MAIL, RCPT ..., DATA. */
static void ask(struct smtp *s, size_t i)
{
    char line[ADDRESS_MAX + 32];
    if (i == 0) {
        snprintf(line, sizeof(line), "MAIL FROM:<%s>", s->o.from);
    } else if (i <= s->o.to_count) {
        snprintf(line, sizeof(line), "RCPT TO:<%s>", s->o.to[i - 1]);
    } else {
        snprintf(line, sizeof(line), "DATA");
    }
    say(s, line, "");
}

static void ask_more(struct smtp *s)
{
    size_t n = s->link.pipelining ? s->o.to_count + 2 : 1;
    while (s->asked < n) {
        ask(s, s->asked++);
    }
}

static bool begin_envelope(struct smtp *s, const struct reply *reply)
{
    s->link.pipelining = reply_offers(reply, "PIPELINING");
    step(s, ENVELOPE, SMTP_STEP_MS);
    ask_more(s);
    return true;
}

/* Nothing of the message itself leaves before RSET has been answered. */
static void go_on(struct smtp *s)
{
    step(s, RESETTING, SMTP_RESET_MS);
    say(s, "RSET", "");
    if (s->link.pipelining) {
        ask_more(s);
    }
}

/* The message */

static bool give_piece(struct smtp *s)
{
    char piece[PIECE];
    int64_t n = spool_read(s->o.message, s->sent, piece, sizeof(piece));
    if (n < 0) {
        return fail(s, "the message cannot be read");
    }
    if (n > 0) {
        s->sent += (uint64_t)n;
        step(s, BODY, SMTP_STEP_MS);
        wire_send(s->wire, piece, (size_t)n);
        return true;
    }
    step(s, FINAL, SMTP_DONE_MS);
    wire_send(s->wire, ".\r\n", 3);
    return true;
}

static bool after_data(struct smtp *s, const struct reply *reply)
{
    if (reply->code / 100 == 3) {
        if (s->taken > 0) {
            return give_piece(s);
        }
        step(s, EMPTY, SMTP_STEP_MS);
        wire_send(s->wire, ".\r\n", 3);
        return true;
    }
    if (s->taken == 0) {
        return done(s); /* each recipient has its own refusal */
    }
    return refuse_all(s, reply);
}

/* Replies, by state */

static bool got_greeting(struct smtp *s, const struct reply *reply)
{
    char flat[REPLY_FLAT_MAX];
    if (reply->code / 100 != 2) {
        /* Perhaps this host, or this way to it, is the wrong one: no verdict about the
         * message. */
        reply_flat(reply, flat);
        return fail(s, flat);
    }
    s->spoken = true;
    return say_ehlo(s, EHLO);
}

static bool got_ehlo(struct smtp *s, const struct reply *reply)
{
    if (reply->code / 100 != 2) {
        return refuse_all(s, reply);
    }
    if (s->state == EHLO_AGAIN || s->o.tls == NULL) {
        return begin_envelope(s, reply);
    }
    if (!reply_offers(reply, "STARTTLS")) {
        return fail(s, "STARTTLS is not offered");
    }
    step(s, STARTTLS, SMTP_STEP_MS);
    say(s, "STARTTLS", "");
    return true;
}

static bool got_starttls(struct smtp *s, const struct reply *reply)
{
    if (reply->code / 100 != 2) {
        char flat[REPLY_FLAT_MAX];
        reply_flat(reply, flat);
        return fail(s, flat);
    }
    step(s, SHAKING, SMTP_STEP_MS);
    wire_secure(s->wire, s->o.tls, s->o.host, s->o.verify);
    return true;
}

static bool got_reset(struct smtp *s, const struct reply *reply)
{
    if (reply->code / 100 != 2) {
        return fail(s, "RSET is refused");
    }
    s->spoken = true;
    step(s, ENVELOPE, SMTP_STEP_MS);
    ask_more(s);
    return true;
}

/* A refusal that may mean the connection: so many messages are enough, or it is late.
 */
static bool tired(const struct smtp *s, size_t i, const struct reply *reply)
{
    return s->kept && (reply->code == 421 || (i == 0 && is_refusal(reply)));
}

static bool got_envelope(struct smtp *s, const struct reply *reply)
{
    size_t i = s->answered++;
    cm_timer_set(s->limit, SMTP_STEP_MS);
    if (tired(s, i, reply)) {
        return fail(s, "the connection has served its time");
    }
    if (i == s->o.to_count + 1) {
        return after_data(s, reply);
    }
    bool yes = reply->code / 100 == 2;
    if (!yes && !is_refusal(reply)) {
        return fail(s, "a reply that has no place here");
    }
    if (i == 0 && !yes) {
        refuse_open(s, reply);
        return s->link.pipelining ? true : done(s);
    }
    if (i > 0 && yes) {
        s->taken += s->replies[i - 1] == NULL;
    } else if (i > 0 && s->replies[i - 1] == NULL) {
        s->replies[i - 1] = forwarded(s, reply);
    }
    if (!s->link.pipelining) {
        if (s->asked == s->o.to_count + 1 && s->taken == 0) {
            return done(s);
        }
        ask(s, s->asked++);
    }
    return true;
}

static bool got_final(struct smtp *s, const struct reply *reply)
{
    if (reply->code / 100 != 2) {
        return refuse_all(s, reply);
    }
    for (size_t i = 0; i < s->o.to_count; i++) {
        if (s->replies[i] == NULL) {
            s->replies[i] = cm_strdup("250 OK (SMTP)");
        }
    }
    return done(s);
}

static bool got_empty(struct smtp *s, const struct reply *reply)
{
    (void)reply;
    return done(s);
}

/* Some servers do not wait for the final dot to say no. */
static bool got_early(struct smtp *s, const struct reply *reply)
{
    if (s->state == BODY && is_refusal(reply)) {
        return refuse_all(s, reply);
    }
    char flat[REPLY_FLAT_MAX];
    reply_flat(reply, flat);
    return fail(s, flat);
}

static bool (*const replies_in[])(struct smtp *, const struct reply *) = {
    [CONNECTING] = got_early,  [GREETING] = got_greeting, [EHLO] = got_ehlo,
    [STARTTLS] = got_starttls, [SHAKING] = got_early,     [EHLO_AGAIN] = got_ehlo,
    [RESETTING] = got_reset,   [ENVELOPE] = got_envelope, [BODY] = got_early,
    [FINAL] = got_final,       [EMPTY] = got_empty};

static bool on_reply(struct smtp *s, const struct reply *reply)
{
    return replies_in[s->state](s, reply);
}

static void on_data(struct smtp *s, const char *data, size_t len)
{
    while (len > 0) {
        size_t used;
        int rc = reply_feed(&s->reader, data, len, &used);
        data += used;
        len -= used;
        if (rc < 0) {
            fail(s, "this is not SMTP");
            return;
        }
        s->more = len > 0;
        s->code = s->reader.reply.code;
        if (rc == 0 || !on_reply(s, &s->reader.reply)) {
            return;
        }
        if (s->state == SHAKING && len > 0) {
            fail(s, "bytes behind the reply to STARTTLS"); /* injected in clear */
            return;
        }
    }
}

static void on_wire(enum wire_event event, const char *data, size_t len, void *ctx)
{
    struct smtp *s = ctx;
    switch (event) {
    case WIRE_DATA:
        on_data(s, data, len);
        break;
    case WIRE_SECURE:
        s->o.counts->resumed += wire_resumed(s->wire);
        reply_init(&s->reader);
        say_ehlo(s, EHLO_AGAIN);
        break;
    case WIRE_DRAINED:
        if (s->state == BODY) {
            give_piece(s);
        }
        break;
    case WIRE_CLOSED:
        fail(s, data);
        break;
    }
}

static void on_dial(int fd, const struct peer_address *address,
                    const struct cm_err *err, void *ctx)
{
    struct smtp *s = ctx;
    s->dial = NULL;
    if (fd < 0) {
        fail(s, err->text);
        return;
    }
    s->link.address = *address;
    s->wire = wire_new(s->o.loop, fd, on_wire, s);
    s->link.uses = 0;
    s->link.made_ms = cm_now_mono_ms();
    s->o.counts->fresh++;
    step(s, GREETING, SMTP_STEP_MS);
}

struct smtp *smtp_start(const struct smtp_options *options, smtp_cb cb, void *ctx)
{
    struct smtp *s = cm_calloc(1, sizeof(*s));
    s->o = *options;
    s->cb = cb;
    s->ctx = ctx;
    s->replies = cm_calloc(options->to_count, sizeof(*s->replies));
    s->limit = cm_timer_new(options->loop, on_limit, s);
    struct pool_key key = key_of(s);
    if (pool_take(s->o.pool, &key, options->addresses, options->address_count,
                  &s->link)) {
        reply_init(&s->reader);
        s->kept = true;
        s->wire = s->link.wire;
        s->o.counts->kept++;
        wire_hand_over(s->wire, on_wire, s);
        go_on(s);
    } else {
        connect_to(s);
    }
    return s;
}
