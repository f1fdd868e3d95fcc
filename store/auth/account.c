#include "account.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"

#include "rules.h"

static const struct cm_pg_statement st_lookup = {
    "account_lookup", "select addr, password from account where addr = $1"};

static const struct cm_pg_statement st_lookup_many = {
    "account_lookup_many",
    "select addr, password from account where addr = any($1::text[])"};

static const struct cm_pg_statement st_create = {
    "account_create", "select account_create($1, $2, decode($3, 'hex'))"};

/* Somebody else's INSERT was there first, perhaps committed after our snapshot began;
 * so the winner's row is read by a statement of its own. */
static const struct cm_pg_statement st_winner = {
    "account_winner", "select password from account where addr = $1"};

static const struct cm_pg_statement st_invite = {
    "account_invite", "select from invite where token_sha256 = decode($1, 'hex') and "
                      "used < uses and expires > now()"};

static const struct cm_pg_statement st_list = {
    "account_list",
    "select addr from account where addr > $1 order by addr limit 1000"};
_Static_assert(ACCOUNT_CHUNK == 1000, "st_list has the number in it");

/* Lookups */

struct ask {
    struct ask *next;
    const char *addr;
    account_cb cb;
    void *ctx;
};

struct batch {
    struct accounts *accounts;
    struct ask *asks;
    size_t count;
};

struct accounts {
    struct cm_pg *pg;
    struct ask *head, **tail;
    size_t waiting;
    unsigned queries;
    bool sending;
    struct cm_buf array;
    struct ask *spare; /* so that a rush does not allocate */
    size_t spares;
};

static void send_batches(struct accounts *a);

static struct ask *ask_new(struct accounts *a)
{
    struct ask *ask = a->spare;
    if (ask == NULL) {
        return cm_malloc(sizeof(*ask));
    }
    a->spare = ask->next;
    a->spares--;
    return ask;
}

static void ask_free(struct accounts *a, struct ask *ask)
{
    if (a->spares == ACCOUNT_BATCH_MAX * ACCOUNT_QUERIES) {
        free(ask);
        return;
    }
    ask->next = a->spare;
    a->spare = ask;
    a->spares++;
}

static const char *find_password(const struct cm_pg_result *res, int rows,
                                 const char *addr)
{
    for (int i = 0; i < rows; i++) {
        if (strcmp(cm_pg_value(res, i, 0), addr) == 0) {
            return cm_pg_value(res, i, 1);
        }
    }
    return NULL;
}

static void on_batch(const struct cm_pg_result *res, const struct cm_err *err,
                     void *ctx)
{
    struct batch *batch = ctx;
    struct accounts *a = batch->accounts;
    int rows = res != NULL ? cm_pg_rows(res) : 0;
    a->queries--;
    for (struct ask *ask = batch->asks; ask != NULL;) {
        struct ask *next = ask->next;
        ask->cb(find_password(res, rows, ask->addr), err, ask->ctx);
        ask_free(a, ask);
        ask = next;
    }
    free(batch);
    send_batches(a);
}

static struct batch *batch_take(struct accounts *a)
{
    struct batch *batch = cm_malloc(sizeof(*batch));
    struct ask *last = a->head;
    *batch = (struct batch){.accounts = a, .asks = a->head, .count = 1};
    while (last->next != NULL && batch->count < ACCOUNT_BATCH_MAX) {
        last = last->next;
        batch->count++;
    }
    a->head = last->next;
    last->next = NULL;
    if (a->head == NULL) {
        a->tail = &a->head;
    }
    a->waiting -= batch->count;
    return batch;
}

/* An array as PostgreSQL reads it: {"a@x","b\"@x"} */
static const char *array_of(struct accounts *a, const struct batch *batch)
{
    cm_buf_reset(&a->array);
    const char *lead = "{\"";
    for (const struct ask *ask = batch->asks; ask != NULL; ask = ask->next) {
        cm_buf_str(&a->array, lead);
        for (const char *p = ask->addr; *p != '\0';) {
            size_t plain = strcspn(p, "\"\\");
            cm_buf_add(&a->array, p, plain);
            p += plain;
            if (*p != '\0') {
                char two[2] = {'\\', *p++};
                cm_buf_add(&a->array, two, sizeof(two));
            }
        }
        lead = "\",\"";
    }
    cm_buf_str(&a->array, "\"}");
    cm_assert(!a->array.overflow);
    return a->array.data;
}

/* An answer that comes before cm_pg_query() returns ends up here again: it only leaves
 * more to do for the loop that is under way. */
static void send_batches(struct accounts *a)
{
    if (a->sending) {
        return;
    }
    a->sending = true;
    while (a->head != NULL && a->queries < ACCOUNT_QUERIES) {
        struct batch *batch = batch_take(a);
        bool one = batch->count == 1;
        const char *params[] = {one ? batch->asks->addr : array_of(a, batch)};
        a->queries++;
        cm_pg_query(a->pg, one ? &st_lookup : &st_lookup_many, params, 1, on_batch,
                    batch);
    }
    a->sending = false;
}

void account_lookup(struct accounts *a, const char *addr, account_cb cb, void *ctx)
{
    if (a->waiting >= ACCOUNT_WAITING_MAX) {
        struct cm_err err;
        (void)cm_err_set(&err, CM_ERR_RETRY, "PostgreSQL: too many lookups wait");
        cb(NULL, &err, ctx);
        return;
    }
    struct ask *ask = ask_new(a);
    *ask = (struct ask){.addr = addr, .cb = cb, .ctx = ctx};
    *a->tail = ask;
    a->tail = &ask->next;
    a->waiting++;
    send_batches(a);
}

struct accounts *accounts_new(struct cm_pg *pg)
{
    struct accounts *a = cm_calloc(1, sizeof(*a));
    a->pg = pg;
    a->tail = &a->head;
    cm_buf_init(&a->array, ACCOUNT_BATCH_MAX * (2 * RULES_ADDR_MAX + 4));
    return a;
}

void accounts_free(struct accounts **accounts)
{
    struct accounts *a = *accounts;
    if (a == NULL) {
        return;
    }
    cm_assert(a->head == NULL && a->queries == 0);
    while (a->spare != NULL) {
        struct ask *next = a->spare->next;
        free(a->spare);
        a->spare = next;
    }
    cm_buf_clear(&a->array);
    free(a);
    *accounts = NULL;
}

/* Creation */

struct call {
    struct cm_pg *pg;
    char *addr;
    char *hash;
    account_made_cb cb;
    void *ctx;
};

static void call_end(struct call *call, const struct account_made *made,
                     const struct cm_err *err)
{
    call->cb(made, err, call->ctx);
    free(call->addr);
    free(call->hash);
    free(call);
}

static void on_winner(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    struct account_made made = {0};
    struct cm_err gone = *err;
    if (res != NULL && cm_pg_rows(res) > 0) {
        made.password = cm_pg_value(res, 0, 0);
    } else if (res != NULL) {
        (void)cm_err_set(&gone, CM_ERR_RETRY, "account vanished while it was created");
    }
    call_end(ctx, &made, &gone);
}

static void on_create(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    struct call *call = ctx;
    struct account_made made = {0};
    const char *outcome = res != NULL ? cm_pg_value(res, 0, 0) : "";
    if (strcmp(outcome, "exists") == 0) {
        const char *params[] = {call->addr};
        cm_pg_query(call->pg, &st_winner, params, 1, on_winner, call);
        return;
    }
    made.created = strcmp(outcome, "created") == 0;
    made.refused = strcmp(outcome, "refused") == 0;
    made.password = made.created ? call->hash : NULL;
    call_end(call, &made, err);
}

void account_create(struct cm_pg *pg, const char *addr, const char *hash,
                    const char *invite, account_made_cb cb, void *ctx)
{
    struct call *call = cm_calloc(1, sizeof(*call));
    *call = (struct call){.pg = pg,
                          .addr = cm_strdup(addr),
                          .hash = cm_strdup(hash),
                          .cb = cb,
                          .ctx = ctx};
    const char *params[] = {addr, hash, invite[0] != '\0' ? invite : NULL};
    cm_pg_query(pg, &st_create, params, 3, on_create, call);
}

struct invite_call {
    account_invite_cb cb;
    void *ctx;
};

static void on_invite(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    struct invite_call *call = ctx;
    call->cb(res != NULL && cm_pg_rows(res) > 0, err, call->ctx);
    free(call);
}

void account_invite(struct cm_pg *pg, const char *invite, account_invite_cb cb,
                    void *ctx)
{
    struct invite_call *call = cm_malloc(sizeof(*call));
    *call = (struct invite_call){.cb = cb, .ctx = ctx};
    cm_pg_query(pg, &st_invite, &invite, 1, on_invite, call);
}

/* Listing */

void account_list(struct cm_pg *pg, const char *after, cm_pg_cb cb, void *ctx)
{
    const char *params[] = {after};
    cm_pg_query(pg, &st_list, params, 1, cb, ctx);
}
