#include "invites.h"

#include <stdlib.h>
#include <string.h>

#include "common/invite.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/pg.h"

static const struct cm_pg_statement is_good = {
    "invite_is_good", "select invite_is_good(decode($1, 'hex'))"};

struct invites {
    struct cm_loop *loop;
    const char *conninfo;
    struct cm_pg *pg; /* NULL: nobody has asked yet */
};

struct question {
    invites_cb cb;
    void *ctx;
};

static void on_state(bool up, void *ctx)
{
    struct invites *invites = ctx;
    if (up) {
        cm_log(CM_LOG_INFO, "postgresql_up", NULL);
    } else {
        cm_log(CM_LOG_ERROR, "postgresql_down", "reason", cm_pg_last_error(invites->pg),
               "effect", "invite tokens are looked at by the first login only", NULL);
    }
}

struct invites *invites_new(struct cm_loop *loop, const char *conninfo)
{
    struct invites *invites = cm_calloc(1, sizeof(*invites));
    invites->loop = loop;
    invites->conninfo = conninfo;
    return invites;
}

void invites_free(struct invites **invites)
{
    if (*invites == NULL) {
        return;
    }
    cm_pg_free(&(*invites)->pg);
    free(*invites);
    *invites = NULL;
}

static void on_answer(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    struct question *q = ctx;
    enum invites_verdict verdict = INVITES_UNTOLD;
    const char *value =
        res != NULL && cm_pg_rows(res) == 1 ? cm_pg_value(res, 0, 0) : NULL;
    if (value != NULL) {
        verdict = strcmp(value, "t") == 0 ? INVITES_GOOD : INVITES_DEAD;
    } else if (res == NULL && err->kind == CM_ERR_WORLD) {
        cm_log_err(CM_LOG_ERROR, "invite_not_asked", err);
    }
    q->cb(verdict, q->ctx);
    free(q);
}

void invites_ask(struct invites *invites, const char *token, invites_cb cb, void *ctx)
{
    char hash[CM_INVITE_HASH];
    const char *params[] = {hash};
    cm_assert(cm_invite_hash(token, hash));
    if (invites->pg == NULL) {
        struct cm_pg_options options = {.conninfo = invites->conninfo,
                                        .connections = 1,
                                        .deadline_ms = INVITES_LIMIT_MS,
                                        .on_state = on_state,
                                        .ctx = invites};
        invites->pg = cm_pg_new(invites->loop, &options);
    }
    struct question *q = cm_malloc(sizeof(*q));
    *q = (struct question){.cb = cb, .ctx = ctx};
    cm_pg_query(invites->pg, &is_good, params, 1, on_answer, q);
}
