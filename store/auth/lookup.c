#include "lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include "answer.h"
#include "key.h"
#include "rules.h"

#define USER_PREFIX  "shared/userdb/"
#define LOG_EVERY_MS 5000

/* What cm_dict_req_data() points to, for lookups and listings alike. */
struct task {
    struct lookup_env *env;
    struct cm_dict_req *req; /* NULL once it has been answered, or its peer is gone */
    /* Set when no callback is under way that would notice req == NULL and free. */
    void (*free_when_gone)(struct task *task);
};

struct lookup {
    struct task task;
    struct key key;
    struct lookup *prev, *next; /* in the order they came */
    int64_t due;                /* monotonic; 0: on no list */
};

struct listing {
    struct task task;
    char *last; /* the address of the last row sent */
};

/* Deadlines. All have the same time, so the oldest is due first and one timer serves
 * all; it is not moved when the oldest is answered, but looks again when it fires. */

static void set_timer(struct lookup_env *env, int64_t now)
{
    if (env->oldest != NULL && !env->timer_set) {
        int64_t after = env->oldest->due - now;
        cm_timer_set(env->timer, after > 0 ? after : 0);
        env->timer_set = true;
    }
}

static void deadline_begin(struct lookup *l)
{
    struct lookup_env *env = l->task.env;
    int64_t now = cm_now_mono_ms();
    l->due = now + LOOKUP_LIMIT_MS;
    l->prev = env->newest;
    if (l->prev != NULL) {
        l->prev->next = l;
    } else {
        env->oldest = l;
    }
    env->newest = l;
    set_timer(env, now);
}

static void deadline_end(struct lookup *l)
{
    struct lookup_env *env = l->task.env;
    if (l->due == 0) {
        return;
    }
    if (l->prev != NULL) {
        l->prev->next = l->next;
    } else {
        env->oldest = l->next;
    }
    if (l->next != NULL) {
        l->next->prev = l->prev;
    } else {
        env->newest = l->prev;
    }
    l->prev = l->next = NULL;
    l->due = 0;
}

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
    l->task.env->counts.failures++;
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
    struct cm_buf *json = &l->task.env->json;
    if (!answer_json(json, l->key.user, l->task.env->conf->mailboxes_dir, password)) {
        struct cm_err err;
        (void)cm_err_set(&err, CM_ERR_WORLD, "stored password is not text");
        answer_trouble(l, &err);
        return;
    }
    cm_dict_reply_value(l->task.req, json->data, json->len);
    l->task.req = NULL;
}

static void lookup_free(struct lookup *l)
{
    cm_assert(l->task.req == NULL);
    deadline_end(l);
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

static void on_timer(void *ctx)
{
    struct lookup_env *env = ctx;
    int64_t now = cm_now_mono_ms();
    struct cm_err err;
    (void)cm_err_set(&err, CM_ERR_RETRY, "no answer in time");
    env->timer_set = false;
    while (env->oldest != NULL && env->oldest->due <= now) {
        struct lookup *l = env->oldest;
        deadline_end(l); /* l stays: its query or hash still refers to it */
        log_trouble(&err);
        answer_trouble(l, &err);
    }
    set_timer(env, now);
}

/* Lookup */

static void on_created(const char *password, const struct cm_err *err, void *ctx)
{
    struct lookup *l = ctx;
    if (password != NULL) {
        answer_account(l, password);
        lookup_free(l);
    } else if (err->kind == CM_ERR_REFUSE) {
        lookup_refuse(l);
    } else {
        lookup_trouble(l, err);
    }
}

static void on_account(const char *password, const struct cm_err *err, void *ctx)
{
    struct lookup *l = ctx;
    if (err->kind != CM_ERR_NONE) {
        lookup_trouble(l, err);
    } else if (password != NULL) {
        if (l->key.kind == KEY_USERDB) {
            bans_welcome(l->task.env->bans, l->key.client);
        }
        answer_account(l, password);
        lookup_free(l);
    } else if (l->key.kind == KEY_PASSDB && l->task.req != NULL) {
        create_account(l->task.env->creator, &l->key, on_created, l);
    } else {
        lookup_refuse(l);
    }
}

/* Always "nobody": Dovecot then says what it was about to say. */
static void note_failed(struct lookup_env *env, const char *text)
{
    struct key key = {0};
    struct cm_err err;
    if (key_parse(text, &key, &err) == 0) {
        bans_failed(env->bans, key.client, key.user, key.password);
        key_clear(&key);
    }
}

static void on_lookup(struct cm_dict_req *req, const char *text, const char *user,
                      void *ctx)
{
    (void)user;
    struct lookup_env *env = ctx;
    if (key_is_failed(text)) {
        cm_dict_req_set_data(req, NULL);
        note_failed(env, text);
        cm_dict_reply_none(req);
        return;
    }
    struct lookup *l = cm_calloc(1, sizeof(*l));
    l->task.env = env;
    l->task.req = req;
    cm_dict_req_set_data(req, l);
    struct cm_err err;
    bool passdb = key_is_passdb(text);
    *(passdb ? &env->counts.passdb : &env->counts.userdb) += 1;
    if (key_parse(text, &l->key, &err) != 0) {
        /* Even a broken key may hold a password; then no F, as above. */
        l->key.kind = passdb ? KEY_PASSDB : KEY_USERDB;
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
    deadline_begin(l);
    account_lookup(env->accounts, l->key.user, on_account, l);
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
    account_list(list->task.env->slow_pg, list->last, on_chunk, list);
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

void lookup_env_init(struct lookup_env *env, struct cm_loop *loop)
{
    env->timer = cm_timer_new(loop, on_timer, env);
    cm_buf_init(&env->json, LOOKUP_JSON_MAX);
}

void lookup_env_clear(struct lookup_env *env)
{
    cm_assert(env->oldest == NULL);
    cm_timer_free(&env->timer);
    cm_buf_clear(&env->json);
}
