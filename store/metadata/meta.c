#include "meta.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"

#include "key.h"

#define TURN_PORT      "3478"
#define MAX_RECIPIENTS "1000"

/* What cm_dict_req_data() points to while an answer waits for something. */
struct task {
    struct meta_env *env;
    struct cm_dict_req *req; /* NULL when its peer is gone */
    bool new_message;        /* of a commit: push is to be told of one */
    char user[];
};

static struct task *task_new(struct meta_env *env, struct cm_dict_req *req,
                             const char *user)
{
    size_t size = strlen(user) + 1;
    struct task *task = cm_calloc(1, sizeof(*task) + size);
    task->env = env;
    task->req = req;
    memcpy(task->user, user, size);
    cm_dict_req_set_data(req, task);
    return task;
}

static void on_gone(struct cm_dict_req *req, void *ctx)
{
    (void)ctx;
    struct task *task = cm_dict_req_data(req);
    if (task != NULL) {
        task->req = NULL; /* its work goes on, nobody hears of it */
    }
}

static void reply_text(struct cm_dict_req *req, const char *text)
{
    cm_dict_reply_value(req, text, strlen(text));
}

/* Lookups */

static void on_tokens(const char *text, size_t len, const struct cm_err *err, void *ctx)
{
    struct task *task = ctx;
    if (text == NULL) {
        task->env->counts.failed++;
        cm_log_err(CM_LOG_ERROR, "lookup_failed", err);
    }
    if (task->req != NULL && text == NULL) {
        cm_dict_reply_fail(task->req, err->text);
    } else if (task->req != NULL) {
        cm_dict_reply_value(task->req, text, len);
    }
    free(task);
}

static void look_up_tokens(struct meta_env *env, struct cm_dict_req *req,
                           const char *user)
{
    if (user[0] == '\0') {
        cm_dict_reply_fail(req, "no user named");
        return;
    }
    token_list(env->tokens, user, on_tokens, task_new(env, req, user));
}

static void on_turn(const char *line, const struct cm_err *err, void *ctx)
{
    struct task *task = ctx;
    if (line == NULL) {
        task->env->counts.failed++;
        cm_log_err(CM_LOG_ERROR, "turn_failed", err);
    }
    if (task->req != NULL && line == NULL) {
        cm_dict_reply_none(task->req);
    } else if (task->req != NULL) {
        char *value = cm_asprintf("%s:" TURN_PORT ":%s", task->env->conf->domain, line);
        reply_text(task->req, value);
        cm_wipe_str(&value);
    }
    free(task);
}

static void look_up_turn(struct meta_env *env, struct cm_dict_req *req,
                         const char *user)
{
    struct cm_err err;
    struct task *task = task_new(env, req, user);
    if (turn_ask(env->turns, env->conf->turn_socket_path, on_turn, task, &err) == 0) {
        return;
    }
    if (err.kind != CM_ERR_WORLD) { /* a relay without TURN is no trouble */
        cm_log_err(CM_LOG_ERROR, "turn_failed", &err);
    }
    cm_dict_reply_none(req);
    free(task);
}

static void look_up_versions(struct meta_env *env, struct cm_dict_req *req)
{
    const char *line;
    struct cm_err err;
    int rc = versions_line(env->versions, &line, &err);
    if (rc == 1) {
        reply_text(req, line);
        return;
    }
    if (rc < 0) {
        cm_log_err(CM_LOG_ERROR, "app_versions_failed", &err);
    }
    cm_dict_reply_none(req);
}

static void look_up_iroh(struct meta_env *env, struct cm_dict_req *req)
{
    const char *url = env->conf->iroh_relay;
    if (url != NULL && url[0] != '\0') {
        reply_text(req, url);
    } else {
        cm_dict_reply_none(req);
    }
}

static void on_lookup(struct cm_dict_req *req, const char *key, const char *user,
                      void *ctx)
{
    struct meta_env *env = ctx;
    env->counts.lookups++;
    switch (key_parse(key)) {
    case KEY_TOKEN:
        look_up_tokens(env, req, user);
        break;
    case KEY_TURN:
        look_up_turn(env, req, user);
        break;
    case KEY_APP_VERSIONS:
        look_up_versions(env, req);
        break;
    case KEY_IROH_RELAY:
        look_up_iroh(env, req);
        break;
    case KEY_MAX_RECIPIENTS:
        reply_text(req, MAX_RECIPIENTS);
        break;
    case KEY_NEW_MESSAGE: /* only ever set */
    case KEY_OTHER:
        cm_log(CM_LOG_WARNING, "key_unknown", "key", key, NULL);
        cm_dict_reply_none(req);
        break;
    }
}

/* Commits */

/* What was asked for is done. That the bell was rung in vain is no failure of it: the
 * message itself is in its mailbox. */
static void on_done(void *ctx)
{
    struct task *task = ctx;
    task->env->counts.commits++;
    task->env->counts.messages += task->new_message;
    if (task->req != NULL) {
        cm_dict_reply_ok(task->req);
    }
    free(task);
}

static void on_changed(const struct cm_err *err, void *ctx)
{
    struct task *task = ctx;
    if (err->kind == CM_ERR_NONE && task->new_message) {
        bell_ring(task->env->bell, task->user, on_done, task);
        return;
    }
    if (err->kind == CM_ERR_NONE) {
        on_done(task);
        return;
    }
    task->env->counts.failed++;
    cm_log_err(CM_LOG_ERROR, "commit_failed", err);
    if (task->req != NULL) {
        cm_dict_reply_fail(task->req, err->text);
    }
    free(task);
}

static void apply(struct meta_env *env, struct cm_dict_req *req, const char *user,
                  const struct change *change)
{
    struct task *task = task_new(env, req, user);
    task->new_message = change->new_message;
    if (change->clear || change->count > 0) {
        token_change(env->tokens, user, change, on_changed, task);
    } else if (change->new_message) {
        bell_ring(env->bell, user, on_done, task);
    } else {
        on_done(task);
    }
}

static void on_commit(struct cm_dict_req *req, const struct cm_dict_op *ops, size_t n,
                      const char *user, void *ctx)
{
    struct meta_env *env = ctx;
    struct change change;
    struct cm_err err;
    int rc = user[0] != '\0' ? change_from(ops, n, &change, &err)
                             : cm_err_set(&err, CM_ERR_REFUSE, "no user named");
    if (rc != 0) {
        env->counts.refused++;
        cm_log_err(CM_LOG_WARNING, "commit_refused", &err);
        cm_dict_reply_fail(req, err.text);
        return;
    }
    apply(env, req, user, &change);
}

const struct cm_dict_handler meta_handler = {
    .lookup = on_lookup, .commit = on_commit, .gone = on_gone};
