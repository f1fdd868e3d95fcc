#include "enrol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/enrol.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/pg.h"

#include "site.h"

#define NO_INVITE                                                                      \
    "No invite is good for this. It may have expired: make a new one with chatops "    \
    "gateway invite.\n"
#define TAKEN                                                                          \
    "Another machine has used this invite. If that was not you: chatops gateway "      \
    "reject, and invite anew.\n"
#define AWAY "The store cannot tell just now. Try again in a few minutes.\n"

static const struct cm_pg_statement script_stmt = {"enrol_script",
                                                   "select gateway_enrol_script($1)"};
static const struct cm_pg_statement join_stmt = {
    "enrol_join", "select gateway_enrol_join($1, $2, $3, $4)"};

/* It outlives its exchange when the machine goes away during a query. */
struct enrolment {
    struct exchange *x; /* NULL: gone */
    char hash[CM_ENROL_HASH];
    struct cm_buf body; /* of join */
    char file[80];      /* of package: below ENROL_INSIDE */
    bool asked;         /* a query is under way and frees it */
};

static struct enrolment *enrolment_of(struct exchange *x)
{
    struct enrolment *e = x->state;
    if (e == NULL) {
        e = cm_calloc(1, sizeof(*e));
        e->x = x;
        cm_buf_init(&e->body, ENROL_BODY_MAX);
        x->state = e;
    }
    return e;
}

static void enrolment_free(struct enrolment *e)
{
    cm_buf_clear(&e->body);
    free(e);
}

void enrol_field(struct exchange *x, const char *name, const char *value)
{
    if (strcasecmp(name, CM_ENROL_HEADER) == 0 &&
        !cm_enrol_hash(value, enrolment_of(x)->hash)) {
        enrolment_of(x)->hash[0] = '\0';
    }
}

void enrol_body(struct exchange *x, const char *data, size_t len)
{
    cm_buf_add(&enrolment_of(x)->body, data, len);
}

void enrol_gone(struct exchange *x)
{
    struct enrolment *e = x->state;
    if (e == NULL) {
        return;
    }
    e->x = NULL;
    if (!e->asked) {
        enrolment_free(e);
    }
}

/* Answers */

/* The exchange is told and forgotten; gone() is not to find it any more. */
static void over(struct enrolment *e, const struct answer *answer)
{
    struct exchange *x = e->x;
    if (x != NULL) {
        x->state = NULL;
        exchange_answer(x, answer);
    }
    enrolment_free(e);
}

static void say(struct enrolment *e, int status, const char *text)
{
    over(e, &(struct answer){.status = status, .text = text});
}

static void away(struct enrolment *e, const struct cm_err *err)
{
    cm_log_err(CM_LOG_WARNING, "enrol_failed", err);
    say(e, 503, AWAY);
}

static void on_script(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    struct enrolment *e = ctx;
    const char *script = res != NULL ? cm_pg_value(res, 0, 0) : NULL;
    if (res == NULL) {
        away(e, err);
    } else if (script == NULL) {
        say(e, 404, NO_INVITE);
    } else if (e->file[0] == '\0') {
        over(e, &(struct answer){.status = 200, .text = script});
    } else {
        char inside[128];
        snprintf(inside, sizeof(inside), ENROL_INSIDE "%s.deb", e->file);
        over(e, &(struct answer){.status = 200, .text = "", .inside = inside});
    }
}

static void on_joined(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    struct enrolment *e = ctx;
    const char *said = res != NULL ? cm_pg_value(res, 0, 0) : NULL;
    if (res == NULL) {
        away(e, err);
    } else if (said != NULL && strcmp(said, "taken") == 0) {
        say(e, 409, TAKEN);
    } else if (said == NULL || strcmp(said, "refused") == 0) {
        say(e, 404, NO_INVITE);
    } else {
        cm_log(CM_LOG_INFO, "gateway_waits", "how", said, NULL);
        over(e, &(struct answer){.status = 200, .text = ""});
    }
}

/* Questions */

static bool may_ask(struct exchange *x, struct enrolment *e)
{
    if (e->hash[0] != '\0') {
        return true;
    }
    exchange_text(x, 404, NO_INVITE);
    return false;
}

static void query(struct exchange *x, struct enrolment *e,
                  const struct cm_pg_statement *stmt, const char *const *params, int n,
                  cm_pg_cb cb)
{
    struct site *site = x->site;
    if (site->pg == NULL) { /* most stores never need it */
        struct cm_pg_options options = {.conninfo = site->conninfo, .connections = 1};
        site->pg = cm_pg_new(site->loop, &options);
    }
    e->asked = true; /* the answer may come before return */
    cm_pg_query(site->pg, stmt, params, n, cb, e);
}

void enrol_script_end(struct exchange *x)
{
    struct enrolment *e = enrolment_of(x);
    const char *params[] = {e->hash};
    if (may_ask(x, e)) {
        query(x, e, &script_stmt, params, 1, on_script);
    }
}

void enrol_package_end(struct exchange *x)
{
    struct enrolment *e = enrolment_of(x);
    if (strlen(x->query) != 64 || strspn(x->query, "0123456789abcdef") != 64) {
        exchange_text(x, 400, "It is named by its SHA-256.\n");
        return;
    }
    snprintf(e->file, sizeof(e->file), "%s", x->query);
    enrol_script_end(x);
}

/* Only what people may read later in a list. */
static bool is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\n') || c > 0x7e) {
            return false;
        }
    }
    return true;
}

void enrol_join_end(struct exchange *x)
{
    struct enrolment *e = enrolment_of(x);
    char *text = e->body.data;
    size_t line = strcspn(text, "\n");
    if (!may_ask(x, e)) {
        return;
    }
    if (e->body.overflow || !is_plain(text, e->body.len) || text[line] != '\n') {
        exchange_text(x, 400, "That is not a key and a list of addresses.\n");
        return;
    }
    text[line] = '\0';
    if (!cm_value_is_key(text)) {
        exchange_text(x, 400, "That is not a WireGuard key.\n");
        return;
    }
    const char *params[] = {e->hash, text, text + line + 1, x->client};
    query(x, e, &join_stmt, params, 4, on_joined);
}
