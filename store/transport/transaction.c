#include "transaction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "session.h"

#define BUSY "421 Transport busy"

struct recipient {
    char *address;
    size_t group;
    char *reply; /* NULL: not known yet */
};

/* The recipients at one destination. */
struct group {
    struct transaction *transaction;
    struct domain domain;
    struct parcel *parcel; /* NULL: no place */
    const char **to;
    size_t *members; /* indexes of recipients */
    size_t count;
};

struct transaction {
    struct env *env;
    struct dests *dests;
    struct transaction_hooks hooks;
    char *from;
    struct recipient *recipients;
    size_t count;
    struct group **groups;
    size_t group_count;
    struct spool *spool;
    bool spool_failed;
    size_t told; /* replies that ready() was called for */
    char refusal[DESTS_REPLY_MAX];
};

struct transaction *transaction_new(struct env *env, struct dests *dests,
                                    const char *from,
                                    const struct transaction_hooks *hooks)
{
    struct transaction *t = cm_calloc(1, sizeof(*t));
    t->env = env;
    t->dests = dests;
    t->hooks = *hooks;
    t->from = cm_strdup(from);
    t->spool = spool_new(env->spool_dir);
    return t;
}

void transaction_free(struct transaction **tp)
{
    struct transaction *t = *tp;
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->group_count; i++) {
        struct group *g = t->groups[i];
        parcel_free(&g->parcel);
        free(g->to);
        free(g->members);
        free(g);
    }
    free(t->groups);
    for (size_t i = 0; i < t->count; i++) {
        free(t->recipients[i].address);
        free(t->recipients[i].reply);
    }
    free(t->recipients);
    spool_free(&t->spool);
    free(t->from);
    free(t);
    *tp = NULL;
}

size_t transaction_count(const struct transaction *t)
{
    return t->count;
}

const char *transaction_reply(const struct transaction *t, size_t recipient)
{
    return t->recipients[recipient].reply;
}

bool transaction_placed(const struct transaction *t)
{
    for (size_t i = 0; i < t->group_count; i++) {
        if (t->groups[i]->parcel != NULL) {
            return true;
        }
    }
    return false;
}

/* Recipients */

static size_t group_find(const struct transaction *t, const struct domain *domain)
{
    for (size_t i = 0; i < t->group_count; i++) {
        const struct domain *d = &t->groups[i]->domain;
        if (d->literal == domain->literal && strcmp(d->name, domain->name) == 0) {
            return i;
        }
    }
    return t->group_count;
}

static void group_add(struct transaction *t, const struct domain *domain,
                      struct parcel *parcel)
{
    struct group *g = cm_calloc(1, sizeof(*g));
    g->transaction = t;
    g->domain = *domain;
    g->parcel = parcel;
    t->groups = cm_realloc_array(t->groups, t->group_count + 1, sizeof(struct group *));
    t->groups[t->group_count++] = g;
}

static void join(struct transaction *t, size_t group, const char *address)
{
    struct group *g = t->groups[group];
    t->recipients =
        cm_realloc_array(t->recipients, t->count + 1, sizeof(*t->recipients));
    g->members = cm_realloc_array(g->members, g->count + 1, sizeof(*g->members));
    g->to = cm_realloc_array(g->to, g->count + 1, sizeof(*g->to));
    t->recipients[t->count] =
        (struct recipient){.address = cm_strdup(address), .group = group};
    g->to[g->count] = t->recipients[t->count].address;
    g->members[g->count++] = t->count++;
}

const char *transaction_add(struct transaction *t, const char *address)
{
    struct domain domain;
    struct cm_err err;
    if (t->count == SESSION_RECIPIENTS_MAX) {
        return "452 4.5.3 Too many recipients";
    }
    if (address_domain(address, &domain, &err) != 0) {
        snprintf(t->refusal, sizeof(t->refusal), "%.399s", err.text);
        return t->refusal;
    }
    size_t i = group_find(t, &domain);
    if (i == t->group_count) {
        struct parcel *parcel = NULL;
        enum dests_answer answer =
            dests_reserve(t->dests, &domain, &parcel, t->refusal);
        if (answer == DESTS_CLOSED) {
            t->env->counters.tripped++;
            return t->refusal;
        }
        group_add(t, &domain, parcel);
    }
    join(t, i, address);
    return NULL;
}

/* The message */

void transaction_data(struct transaction *t, const char *data, size_t len)
{
    struct cm_err err;
    /* What is too big is read to its end, and not kept. */
    if (t->spool_failed || spool_size(t->spool) > t->env->message_max) {
        return;
    }
    if (spool_add(t->spool, data, len, &err) != 0) {
        t->spool_failed = true;
        t->env->counters.spool_failed++;
        cm_log_err(CM_LOG_ERROR, "spool_failed", &err);
    }
}

/* Replies */

static void answer(struct transaction *t, size_t recipient, const char *reply)
{
    free(t->recipients[recipient].reply);
    t->recipients[recipient].reply = cm_strdup(reply);
}

static void tell(struct transaction *t)
{
    size_t first = t->told;
    while (t->told < t->count && t->recipients[t->told].reply != NULL) {
        t->told++;
    }
    if (t->told > first) {
        t->hooks.ready(first, t->told, t->hooks.ctx);
    }
}

static void answer_all(struct transaction *t, const char *reply)
{
    for (size_t i = 0; i < t->count; i++) {
        answer(t, i, reply);
    }
    tell(t);
}

static void on_replies(char *const *replies, void *ctx)
{
    struct group *g = ctx;
    struct transaction *t = g->transaction;
    for (size_t i = 0; i < g->count; i++) {
        answer(t, g->members[i], replies[i]);
    }
    parcel_free(&g->parcel);
    tell(t);
}

static const char *unfit(struct transaction *t, bool bare)
{
    struct cm_err err;
    if (spool_size(t->spool) > t->env->message_max) {
        t->env->counters.too_big++;
        return "552 Message exceeds maximum size";
    }
    if (bare) {
        return "500 Invalid DATA";
    }
    if (t->spool_failed || spool_close(t->spool, &err) != 0) {
        return "451 4.3.0 Local error";
    }
    return NULL;
}

void transaction_deliver(struct transaction *t, bool bare)
{
    const char *reply = unfit(t, bare);
    if (reply != NULL) {
        answer_all(t, reply);
        return;
    }
    for (size_t i = 0; i < t->group_count; i++) {
        struct group *g = t->groups[i];
        if (g->parcel != NULL) {
            parcel_send(g->parcel, t->from, g->to, g->count, t->spool, on_replies, g);
            continue;
        }
        t->env->counters.busy += g->count;
        for (size_t k = 0; k < g->count; k++) {
            answer(t, g->members[k], BUSY);
        }
    }
    tell(t);
}
