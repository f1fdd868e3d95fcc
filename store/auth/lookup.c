#include "lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include "account.h"
#include "answer.h"
#include "hash.h"
#include "key.h"
#include "rules.h"

#define USER_PREFIX  "shared/userdb/"
#define LOG_EVERY_MS 5000

/* What cm_dict_req_data() points to, for lookups and listings alike. */
struct task {
    const struct lookup_env *env;
    struct cm_dict_req *req; /* NULL once it has been answered, or its peer is gone */
    /* Set when no callback is under way that would notice req == NULL and free. */
    void (*free_when_gone)(struct task *task);
};

struct lookup {
    struct task task;
    struct key key;
    struct cm_timer *limit;
};

struct listing {
    struct task task;
    char *last; /* the address of the last row sent */
};

/* Answers. The lookup itself lives until its own work is done, see lookup_free(). */

static void answer_none(struct lookup *l)
{
    if (l->task.req != NULL) {
        cm_dict_reply_none(l->task.req);
        l->task.req = NULL;
    }
}

static void answer_trouble(struct lookup *l, const struct cm_err *err)
{
    if (l->task.req == NULL) {
        return;
    }
    if (l->key.kind == KEY_PASSDB) {
        cm_dict_reply_value(l->task.req, LOOKUP_TEMPFAIL, strlen(LOOKUP_TEMPFAIL));
    } else {
        cm_dict_reply_fail(l->task.req, err->text);
    }
    l->task.req = NULL;
}

static void answer_account(struct lookup *l, const char *password)
{
    if (l->task.req == NULL) {
        return;
    }
    char *json = answer_json(l->key.user, l->task.env->conf->mailboxes_dir, password);
    if (json == NULL) {
        struct cm_err err;
        (void)cm_err_set(&err, CM_ERR_WORLD, "stored password is not text");
        answer_trouble(l, &err);
        return;
    }
    cm_dict_reply_value(l->task.req, json, strlen(json));
    l->task.req = NULL;
    cm_wipe_str(&json);
}

static void lookup_free(struct lookup *l)
{
    cm_assert(l->task.req == NULL);
    cm_timer_free(&l->limit);
    key_clear(&l->key);
    free(l);
}

/* One line in LOG_EVERY_MS says it: in an outage every login comes here. */
static void log_trouble(const struct cm_err *err)
{
    static int64_t next;
    static unsigned suppressed;
    int64_t now = cm_now_mono_ms();
    if (now < next) {
        suppressed++;
        return;
    }
    char count[16];
    snprintf(count, sizeof(count), "%u", suppressed);
    cm_log(CM_LOG_ERROR, "lookup_failed", "reason", err->text, "suppressed", count,
           NULL);
    next = now + LOG_EVERY_MS;
    suppressed = 0;
}

static void lookup_trouble(struct lookup *l, const struct cm_err *err)
{
    log_trouble(err);
    answer_trouble(l, err);
    lookup_free(l);
}

static void lookup_refuse(struct lookup *l)
{
    answer_none(l);
    lookup_free(l);
}

static void on_limit(void *ctx)
{
    struct lookup *l = ctx;
    struct cm_err err;
    (void)cm_err_set(&err, CM_ERR_RETRY, "no answer in time");
    log_trouble(&err);
    answer_trouble(l, &err); /* l stays: its query or hash still refers to it */
}

/* Creation */

static void on_created(const struct account_found *found, const struct cm_err *err,
                       void *ctx)
{
    struct lookup *l = ctx;
    if (err->kind != CM_ERR_NONE) {
        lookup_trouble(l, err);
        return;
    }
    if (found->password == NULL) {
        struct cm_err gone;
        (void)cm_err_set(&gone, CM_ERR_RETRY, "account vanished while it was created");
        lookup_trouble(l, &gone);
        return;
    }
    if (found->created) {
        cm_log_text(CM_LOG_INFO, "Created address: %s", l->key.user);
    }
    answer_account(l, found->password);
    lookup_free(l);
}

static void on_hash(char *hash, void *ctx)
{
    struct lookup *l = ctx;
    if (hash == NULL) {
        struct cm_err err;
        (void)cm_err_set(&err, CM_ERR_WORLD, "cannot hash: no randomness, or crypt(3)");
        lookup_trouble(l, &err);
        return;
    }
    account_create(l->task.env->pg, l->key.user, hash, on_created, l);
    cm_wipe_str(&hash);
}

static bool may_create(const struct lookup *l)
{
    const struct lookup_env *env = l->task.env;
    const struct cm_conf *conf = env->conf;
    struct cm_err err;
    if (access(env->nocreate_path, F_OK) == 0) {
        cm_log(CM_LOG_WARNING, "creation_stopped", "by", env->nocreate_path, NULL);
        return false;
    }
    struct rules rules = {.domain = conf->domain,
                          .password_min_length = conf->password_min_length,
                          .username_min_length = conf->username_min_length,
                          .username_max_length = conf->username_max_length};
    if (rules_may_create(&rules, l->key.user, l->key.password, &err) != 0) {
        cm_log_err(CM_LOG_INFO, "creation_refused", &err);
        return false;
    }
    struct limits limits = {.max_load_1m = conf->max_load_1m,
                            .min_available_memory_mib = conf->min_available_memory_mib,
                            .min_free_disk_mib = conf->min_free_disk_space_mib,
                            .mailboxes_dir = conf->mailboxes_dir};
    if (limits_check(&limits, env->readers, &err) != 0) {
        cm_log_text(CM_LOG_WARNING, "%s", err.text);
        return false;
    }
    return true;
}

static void create(struct lookup *l)
{
    if (!may_create(l)) {
        lookup_refuse(l);
        return;
    }
    struct cm_err err;
    int rc = hash_submit(l->task.env->work, l->key.password, on_hash, l, &err);
    cm_wipe_str(&l->key.password);
    if (rc != 0) {
        lookup_trouble(l, &err);
    }
}

/* Lookup */

static void on_account(const struct account_found *found, const struct cm_err *err,
                       void *ctx)
{
    struct lookup *l = ctx;
    if (err->kind != CM_ERR_NONE) {
        lookup_trouble(l, err);
    } else if (found->password != NULL) {
        answer_account(l, found->password);
        lookup_free(l);
    } else if (l->key.kind == KEY_PASSDB && l->task.req != NULL) {
        create(l);
    } else {
        lookup_refuse(l);
    }
}

static void on_lookup(struct cm_dict_req *req, const char *text, const char *user,
                      void *ctx)
{
    (void)user;
    struct lookup_env *env = ctx;
    struct lookup *l = cm_calloc(1, sizeof(*l));
    l->task.env = env;
    l->task.req = req;
    cm_dict_req_set_data(req, l);
    struct cm_err err;
    if (key_parse(text, &l->key, &err) != 0) {
        /* Even a broken key may hold a password; then no F, as above. */
        l->key.kind =
            strncmp(text, "shared/passdb/", 14) == 0 ? KEY_PASSDB : KEY_USERDB;
        lookup_trouble(l, &err);
        return;
    }
    if (env->conf == NULL) {
        (void)cm_err_set(&err, CM_ERR_WORLD, "chatmail.ini is broken");
        lookup_trouble(l, &err);
        return;
    }
    struct rules rules = {.domain = env->conf->domain};
    if (!rules_is_ours(&rules, l->key.user)) {
        lookup_refuse(l);
        return;
    }
    l->limit = cm_timer_new(env->loop, on_limit, l);
    cm_timer_set(l->limit, LOOKUP_LIMIT_MS);
    account_lookup(env->pg, l->key.user, on_account, l);
}

/* Listing all addresses */

static void listing_free(struct listing *list)
{
    free(list->last);
    free(list);
}

static void listing_gone(struct task *task)
{
    listing_free((struct listing *)task); /* task is its first member */
}

static void listing_more(struct cm_dict_req *req, void *ctx);

static void on_chunk(const struct cm_pg_result *res, const struct cm_err *err,
                     void *ctx)
{
    struct listing *list = ctx;
    struct cm_dict_req *req = list->task.req;
    if (req == NULL) { /* gone meanwhile */
        listing_free(list);
        return;
    }
    if (res == NULL) {
        cm_dict_reply_fail(req, err->text);
        listing_free(list);
        return;
    }
    int rows = cm_pg_rows(res);
    for (int i = 0; i < rows; i++) {
        char *key = cm_asprintf(USER_PREFIX "%s", cm_pg_value(res, i, 0));
        cm_dict_row(req, key, "", 0);
        free(key);
    }
    if (rows < ACCOUNT_CHUNK) {
        cm_dict_reply_end(req);
        listing_free(list);
        return;
    }
    free(list->last);
    list->last = cm_strdup(cm_pg_value(res, rows - 1, 0));
    list->task.free_when_gone = listing_gone;
    cm_dict_when_room(req, listing_more, list);
}

static void listing_more(struct cm_dict_req *req, void *ctx)
{
    (void)req;
    struct listing *list = ctx;
    list->task.free_when_gone = NULL;
    account_list(list->task.env->pg, list->last, on_chunk, list);
}

static void on_iterate(struct cm_dict_req *req, unsigned flags, const char *path,
                       const char *user, void *ctx)
{
    (void)flags;
    (void)user;
    if (strcmp(path, USER_PREFIX) != 0) {
        cm_dict_reply_end(req);
        return;
    }
    struct listing *list = cm_calloc(1, sizeof(*list));
    list->task.env = ctx;
    list->task.req = req;
    list->last = cm_strdup("");
    cm_dict_req_set_data(req, list);
    listing_more(req, list);
}

static void on_gone(struct cm_dict_req *req, void *ctx)
{
    (void)ctx;
    struct task *task = cm_dict_req_data(req);
    task->req = NULL;
    if (task->free_when_gone != NULL) {
        task->free_when_gone(task);
    }
}

const struct cm_dict_handler lookup_handler = {
    .lookup = on_lookup, .iterate = on_iterate, .gone = on_gone};
