#include "account.h"

#include <stdlib.h>

#include "common/mem.h"

static const struct cm_pg_statement st_lookup = {
    "account_lookup", "select password from account where addr = $1"};

/* Without a row somebody else's INSERT was there first, perhaps committed after our
 * snapshot began; so the winner's row is read by a statement of its own. */
static const struct cm_pg_statement st_create = {
    "account_create", "insert into account (addr, password) values ($1, $2) "
                      "on conflict (addr) do nothing returning password"};

static const struct cm_pg_statement st_list = {
    "account_list",
    "select addr from account where addr > $1 order by addr limit 1000"};
_Static_assert(ACCOUNT_CHUNK == 1000, "st_list has the number in it");

struct call {
    struct cm_pg *pg;
    char *addr;
    account_cb cb;
    void *ctx;
};

static void call_end(struct call *call, const char *password, bool created,
                     const struct cm_err *err)
{
    struct account_found found = {.password = password, .created = created};
    call->cb(&found, err, call->ctx);
    free(call->addr);
    free(call);
}

static struct call *call_new(struct cm_pg *pg, const char *addr, account_cb cb,
                             void *ctx)
{
    struct call *call = cm_calloc(1, sizeof(*call));
    call->pg = pg;
    call->addr = cm_strdup(addr);
    call->cb = cb;
    call->ctx = ctx;
    return call;
}

static void on_lookup(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    bool any = res != NULL && cm_pg_rows(res) > 0;
    call_end(ctx, any ? cm_pg_value(res, 0, 0) : NULL, false, err);
}

static void lookup(struct call *call)
{
    const char *params[] = {call->addr};
    cm_pg_query(call->pg, &st_lookup, params, 1, on_lookup, call);
}

static void on_create(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    struct call *call = ctx;
    if (res == NULL) {
        call_end(call, NULL, false, err);
    } else if (cm_pg_rows(res) > 0) {
        call_end(call, cm_pg_value(res, 0, 0), true, err);
    } else {
        lookup(call);
    }
}

void account_lookup(struct cm_pg *pg, const char *addr, account_cb cb, void *ctx)
{
    lookup(call_new(pg, addr, cb, ctx));
}

void account_create(struct cm_pg *pg, const char *addr, const char *hash, account_cb cb,
                    void *ctx)
{
    struct call *call = call_new(pg, addr, cb, ctx);
    const char *params[] = {addr, hash};
    cm_pg_query(pg, &st_create, params, 2, on_create, call);
}

void account_list(struct cm_pg *pg, const char *after, cm_pg_cb cb, void *ctx)
{
    const char *params[] = {after};
    cm_pg_query(pg, &st_list, params, 1, cb, ctx);
}
