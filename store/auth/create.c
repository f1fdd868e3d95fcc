#include "create.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/invite.h"
#include "common/log.h"
#include "common/mem.h"

#include "account.h"
#include "hasher.h"
#include "rules.h"

/* One password check that waits for the address. */
struct racer {
    struct racer *next;
    char *password;
    char invite[CM_INVITE_HASH]; /* "": none is asked for */
    char client[KEY_ADDRESS_SIZE], local[KEY_ADDRESS_SIZE];
    create_cb cb;
    void *ctx;
};

struct creation {
    struct creator *creator;
    struct creation *prev, *next;
    char *addr;
    struct racer *head, **tail; /* the head is the one that tries */
};

struct creator {
    struct create_env env;
    struct creation *all;
    size_t count;
    size_t waiting;       /* racers of all creations */
    int64_t within_until; /* monotonic; the machine was found well */
    bool stopping;
};

static const struct cm_conf *conf_of(const struct creator *creator)
{
    return *creator->env.conf;
}

/* Ends */

static void racer_free(struct creator *creator, struct racer *r)
{
    creator->waiting--;
    cm_wipe_str(&r->password);
    free(r);
}

static void creation_free(struct creation *c)
{
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        c->creator->all = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    c->creator->count--;
    free(c->addr);
    free(c);
}

/* The same answer for all of them. */
static void answer_all(struct creation *c, const char *password,
                       const struct cm_err *err)
{
    struct creator *creator = c->creator;
    struct racer *r = c->head;
    creation_free(c); /* first: a callback may ask for the next account */
    while (r != NULL) {
        struct racer *next = r->next;
        r->cb(password, err, r->ctx);
        racer_free(creator, r);
        r = next;
    }
}

static void try_head(struct creation *c);

static void reject(struct creator *creator, enum reject why, const char *text)
{
    creator->env.counts->rejected[why]++;
    cm_log_text(CM_LOG_WARNING, "registration rejected: %s", text);
}

/* The one that tried is out; another may have a better token, or a better network. */
static void refuse_head(struct creation *c, enum reject why, const char *text)
{
    struct cm_err err;
    struct creator *creator = c->creator;
    struct racer *r = c->head;
    reject(creator, why, text);
    (void)cm_err_set(&err, CM_ERR_REFUSE, "%s", text);
    c->head = r->next;
    bool last = c->head == NULL;
    if (last) {
        creation_free(c);
    }
    r->cb(NULL, &err, r->ctx);
    racer_free(creator, r);
    if (!last) {
        try_head(c);
    }
}

/* Steps, each the callback of the one before */

static bool stopped(struct creation *c)
{
    if (c->creator->stopping) {
        struct cm_err err;
        (void)cm_err_set(&err, CM_ERR_RETRY, "shutting down");
        answer_all(c, NULL, &err);
        return true;
    }
    return false;
}

static void on_created(const struct account_made *made, const struct cm_err *err,
                       void *ctx)
{
    struct creation *c = ctx;
    if (err->kind != CM_ERR_NONE) {
        answer_all(c, NULL, err);
    } else if (made->refused) {
        refuse_head(c, REJECT_INVITE, "invite token is expired or used up");
    } else {
        if (made->created) {
            c->creator->env.counts->created++;
            cm_log_text(CM_LOG_INFO, "Created address: %s", c->addr);
        }
        answer_all(c, made->password, err);
    }
}

static void on_hash(const char *hash, const struct cm_err *err, void *ctx)
{
    struct creation *c = ctx;
    if (hash == NULL) {
        answer_all(c, NULL, err);
    } else if (!stopped(c)) {
        account_create(c->creator->env.pg, c->addr, hash, c->head->invite, on_created,
                       c);
    }
}

static void on_counted(enum cm_netlimit_verdict verdict, int64_t retry_after_s,
                       void *ctx)
{
    (void)retry_after_s;
    struct creation *c = ctx;
    struct cm_err err;
    if (stopped(c)) {
        return;
    }
    if (verdict == CM_NETLIMIT_NET) {
        bans_refused(c->creator->env.bans, c->head->client);
        refuse_head(c, REJECT_NET, "too many from one network within an hour");
        return;
    }
    if (verdict == CM_NETLIMIT_GATEWAY) {
        refuse_head(c, REJECT_GATEWAY, "too many through one gateway within an hour");
        return;
    }
    int rc = hasher_submit(c->creator->env.hasher, c->head->password, on_hash, c, &err);
    cm_wipe_str(&c->head->password);
    if (rc != 0) {
        answer_all(c, NULL, &err);
    }
}

static void count_head(struct creation *c)
{
    const struct cm_conf_store *store = &conf_of(c->creator)->store;
    struct cm_netlimit_max max = {.per_net = store->creations_per_net,
                                  .per_gateway = store->creations_per_gateway};
    cm_netlimit_count(c->creator->env.netlimit, c->head->client, c->head->local, &max,
                      on_counted, c);
}

static void on_invite(bool good, const struct cm_err *err, void *ctx)
{
    struct creation *c = ctx;
    if (err->kind != CM_ERR_NONE) {
        answer_all(c, NULL, err);
    } else if (!good) {
        refuse_head(c, REJECT_INVITE, "invite token is unknown, expired or used up");
    } else if (!stopped(c)) {
        count_head(c);
    }
}

static void try_head(struct creation *c)
{
    if (stopped(c)) {
        return;
    }
    if (c->head->invite[0] != '\0') {
        account_invite(c->creator->env.pg, c->head->invite, on_invite, c);
    } else {
        count_head(c);
    }
}

/* What can be said at once */

/* The token is known to all whom it was given to, so it does not make up for what a
 * password must have. */
static bool take_invite(struct creator *creator, const char *password,
                        char invite_r[CM_INVITE_HASH])
{
    const struct cm_conf *conf = conf_of(creator);
    const char *rest;
    char text[80];
    if (conf->store.registrations != CM_REGISTRATIONS_INVITE) {
        invite_r[0] = '\0';
        return true;
    }
    if (!cm_invite_split(password, invite_r, &rest)) {
        reject(creator, REJECT_INVITE, "no invite token before the password");
        return false;
    }
    if (rules_characters(rest) < conf->password_min_length) {
        snprintf(text, sizeof(text),
                 "password behind the invite token is shorter than %" PRId64,
                 conf->password_min_length);
        reject(creator, REJECT_RULES, text);
        return false;
    }
    return true;
}

static bool within_rules(struct creator *creator, const struct key *key)
{
    const struct cm_conf *conf = conf_of(creator);
    struct rules rules = {.domain = conf->domain,
                          .password_min_length = conf->password_min_length,
                          .username_min_length = conf->username_min_length,
                          .username_max_length = conf->username_max_length};
    struct cm_err err;
    if (rules_may_create(&rules, key->user, key->password, &err) != 0) {
        reject(creator, REJECT_RULES, err.text);
        return false;
    }
    return true;
}

static bool within_limits(struct creator *creator)
{
    const struct cm_conf *conf = conf_of(creator);
    int64_t now = cm_now_mono_ms();
    if (now < creator->within_until) {
        return true;
    }
    struct limits limits = {.max_load_1m = conf->max_load_1m,
                            .min_available_memory_mib = conf->min_available_memory_mib,
                            .min_free_disk_mib = conf->min_free_disk_space_mib,
                            .mailboxes_dir = conf->mailboxes_dir};
    struct cm_err err;
    if (limits_check(&limits, creator->env.readers, &err) != 0) {
        creator->env.counts->rejected[REJECT_LIMITS]++;
        cm_log_text(CM_LOG_WARNING, "%s", err.text);
        return false;
    }
    creator->within_until = now + CREATE_WITHIN_MS;
    return true;
}

static bool may_create(struct creator *creator, const struct key *key,
                       char invite_r[CM_INVITE_HASH])
{
    char text[256];
    if (access(creator->env.nocreate_path, F_OK) == 0) {
        snprintf(text, sizeof(text), "%s exists", creator->env.nocreate_path);
        reject(creator, REJECT_NOCREATE, text);
        return false;
    }
    if (conf_of(creator)->store.registrations == CM_REGISTRATIONS_CLOSED) {
        reject(creator, REJECT_CLOSED, "registrations are closed");
        return false;
    }
    return within_rules(creator, key) && take_invite(creator, key->password, invite_r);
}

/* The lane */

static struct creation *find(const struct creator *creator, const char *addr)
{
    struct creation *c = creator->all;
    while (c != NULL && strcmp(c->addr, addr) != 0) {
        c = c->next;
    }
    return c;
}

static struct creation *creation_new(struct creator *creator, const char *addr)
{
    struct creation *c = cm_calloc(1, sizeof(*c));
    c->creator = creator;
    c->addr = cm_strdup(addr);
    c->tail = &c->head;
    c->next = creator->all;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    creator->all = c;
    creator->count++;
    return c;
}

/* Takes the password over. */
static void join(struct creation *c, struct key *key, const char *invite, create_cb cb,
                 void *ctx)
{
    struct racer *r = cm_calloc(1, sizeof(*r));
    r->password = key->password;
    key->password = NULL;
    memcpy(r->invite, invite, strlen(invite) + 1);
    memcpy(r->client, key->client, sizeof(r->client));
    memcpy(r->local, key->local, sizeof(r->local));
    r->cb = cb;
    r->ctx = ctx;
    *c->tail = r;
    c->tail = &r->next;
    c->creator->waiting++;
}

static void say_no(enum cm_err_kind kind, const char *text, create_cb cb, void *ctx)
{
    struct cm_err err;
    (void)cm_err_set(&err, kind, "%s", text);
    cb(NULL, &err, ctx);
}

void create_account(struct creator *creator, struct key *key, create_cb cb, void *ctx)
{
    char invite[CM_INVITE_HASH];
    if (!may_create(creator, key, invite)) {
        say_no(CM_ERR_REFUSE, "not allowed", cb, ctx);
        return;
    }
    struct creation *c = find(creator, key->user);
    if (creator->waiting >= CREATE_WAITING_MAX ||
        (c == NULL && creator->count >= CREATE_LANE_MAX)) {
        creator->env.counts->lane_full++;
        say_no(CM_ERR_RETRY, "too many new accounts at once", cb, ctx);
        return;
    }
    /* Behind the lane: it reads files, too slow to be done for a whole flood. */
    if (!within_limits(creator)) {
        say_no(CM_ERR_REFUSE, "machine is short of something", cb, ctx);
        return;
    }
    bool first = c == NULL;
    if (first) {
        c = creation_new(creator, key->user);
    }
    join(c, key, invite, cb, ctx);
    if (first) {
        try_head(c);
    }
}

struct creator *creator_new(const struct create_env *env)
{
    struct creator *creator = cm_calloc(1, sizeof(*creator));
    creator->env = *env;
    return creator;
}

void creator_stop(struct creator *creator)
{
    creator->stopping = true;
}

void creator_free(struct creator **creator)
{
    if (*creator == NULL) {
        return;
    }
    cm_assert((*creator)->count == 0);
    free(*creator);
    *creator = NULL;
}
