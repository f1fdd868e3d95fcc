#include "bot.h"

#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"

#include "answer.h"
#include "claim.h"
#include "core.h"

#define DEATHS_MAX 2
#define LINK_MAX   4096
#define CONNECTED  3000 /* get_connectivity: at work or connected, from here on */

struct bot {
    struct bot_options options;
    char *password;
    char *accounts_dir;
    struct core *core;
    struct cm_timer *look_timer, *io_timer, *net_timer;
    int64_t net_ms; /* until the next look at the connection; 0: none is due */
    size_t step;    /* of setup */
    bool configure; /* the account has to be given its login */
    bool ready;
    json_int_t account;
    json_t *unread; /* message ids, newest first; NULL: not looking */
    bool again;     /* something came while looking */
    json_int_t current;
    json_int_t suspect; /* the core went down during it */
    int deaths;
    struct bot_counts counts;
};

static void call(struct bot *bot, const char *method, json_t *params,
                 int64_t timeout_ms, core_cb cb)
{
    core_call(bot->core, method, params, timeout_ms, cb, bot);
}

static json_t *with_account(const struct bot *bot, json_t *more)
{
    json_t *params = json_array();
    json_array_append_new(params, json_integer(bot->account));
    if (more != NULL) {
        json_array_append_new(params, more);
    }
    return params;
}

/* ---- setup ---- */

static json_t *params_none(struct bot *bot)
{
    (void)bot;
    return json_array();
}

static json_t *params_account(struct bot *bot)
{
    return with_account(bot, NULL);
}

/* It answers and forgets: the core clears texts and files a day later. Contacts, their
 * keys and the chats stay, or the next message could not be read. */
static json_t *params_config(struct bot *bot)
{
    return with_account(bot, json_pack("{s:s, s:s, s:s, s:s}", "bot", "1",
                                       "displayname", "Echo", "mdns_enabled", "0",
                                       "delete_device_after", "86400"));
}

static json_t *params_login(struct bot *bot)
{
    char *uri = claim_login_uri(bot->options.domain, bot->password);
    json_t *params = with_account(bot, json_string(uri));
    cm_wipe_str(&uri);
    return params;
}

static json_t *params_link(struct bot *bot)
{
    return with_account(bot, json_null());
}

static bool take_accounts(struct bot *bot, const json_t *result)
{
    bot->account = json_integer_value(json_array_get(result, 0));
    return json_is_array(result);
}

static bool take_account(struct bot *bot, const json_t *result)
{
    bot->account = json_integer_value(result);
    return bot->account > 0;
}

static bool take_configured(struct bot *bot, const json_t *result)
{
    bot->configure = bot->options.fresh || !json_is_true(result);
    return json_is_boolean(result);
}

static bool take_login(struct bot *bot, const json_t *result)
{
    (void)result;
    bot->options.fresh = false;
    return true;
}

static bool take_link(struct bot *bot, const json_t *result)
{
    struct cm_err err;
    char *path = cm_asprintf("%s/invite-link.txt", bot->options.dir);
    char *text =
        cm_asprintf("%s\n", json_is_string(result) ? json_string_value(result) : "");
    size_t len = strlen(text);
    bool good =
        len > 1 && len < LINK_MAX && cm_file_replace(path, text, len, 0644, &err) == 0;
    free(path);
    free(text);
    return good;
}

static bool no_account(const struct bot *bot)
{
    return bot->account == 0;
}

static bool not_configured(const struct bot *bot)
{
    return bot->configure;
}

static const struct step {
    const char *method;
    json_t *(*params)(struct bot *bot);
    bool (*take)(struct bot *bot, const json_t *result); /* NULL: any result will do */
    bool (*wanted)(const struct bot *bot);               /* NULL: always */
    int64_t timeout_ms;
} setup[] = {
    {"get_all_account_ids", params_none, take_accounts, NULL, BOT_CALL_MS},
    {"add_account", params_none, take_account, no_account, BOT_CALL_MS},
    {"batch_set_config", params_config, NULL, NULL, BOT_CALL_MS},
    {"is_configured", params_account, take_configured, NULL, BOT_CALL_MS},
    {"add_transport_from_qr", params_login, take_login, not_configured, BOT_LOGIN_MS},
    {"start_io", params_account, NULL, NULL, BOT_CALL_MS},
    {"get_chat_securejoin_qr_code", params_link, take_link, NULL, BOT_CALL_MS},
};
#define STEPS (sizeof(setup) / sizeof(setup[0]))

static void look(struct bot *bot);
static void on_step(json_t *result, const struct cm_err *err, void *ctx);

static void next_step(struct bot *bot)
{
    while (bot->step < STEPS && setup[bot->step].wanted != NULL &&
           !setup[bot->step].wanted(bot)) {
        bot->step++;
    }
    if (bot->step < STEPS) {
        const struct step *s = &setup[bot->step];
        call(bot, s->method, s->params(bot), s->timeout_ms, on_step);
        return;
    }
    bot->ready = true;
    core_settled(bot->core);
    cm_log(CM_LOG_INFO, "ready", NULL);
    cm_timer_set(bot->io_timer, BOT_IO_AGAIN_S * 1000);
    look(bot);
}

/* The core's own words may name addresses and servers: only which step failed is told.
 */
static void on_step(json_t *result, const struct cm_err *err, void *ctx)
{
    (void)err;
    struct bot *bot = ctx;
    const struct step *s = &setup[bot->step];
    if (result == NULL || (s->take != NULL && !s->take(bot, result))) {
        cm_log(CM_LOG_WARNING, "setup_failed", "step", s->method, NULL);
        core_restart(bot->core, s->method);
        return;
    }
    bot->step++;
    next_step(bot);
}

/* ---- answering ---- */

static void next_message(struct bot *bot);

static void on_seen(json_t *result, const struct cm_err *err, void *ctx)
{
    struct bot *bot = ctx;
    if (result == NULL) {
        cm_log_err(CM_LOG_WARNING, "seen_failed", err);
    }
    next_message(bot);
}

static void mark_seen(struct bot *bot)
{
    call(bot, "markseen_msgs", with_account(bot, json_pack("[I]", bot->current)),
         BOT_CALL_MS, on_seen);
}

static void pass_over(struct bot *bot, const char *reason)
{
    bot->counts.passed_over++;
    cm_log(CM_LOG_INFO, "passed_over", "reason", reason, NULL);
    mark_seen(bot);
}

static void on_sent(json_t *result, const struct cm_err *err, void *ctx)
{
    (void)err; /* may quote the message */
    struct bot *bot = ctx;
    if (result == NULL) {
        pass_over(bot, "not sent");
        return;
    }
    bot->counts.echoed++;
    cm_log(CM_LOG_INFO, "answered", NULL);
    mark_seen(bot);
}

static void on_message(json_t *result, const struct cm_err *err, void *ctx)
{
    (void)err;
    struct bot *bot = ctx;
    struct answer answer = answer_to(result);
    if (result == NULL) {
        pass_over(bot, "unreadable");
    } else if (answer.kind == ANSWER_NONE) {
        pass_over(bot, answer.reason);
    } else if (answer.kind == ANSWER_LATER) {
        next_message(bot);
    } else {
        json_t *params = with_account(bot, json_integer(answer.chat));
        json_array_append_new(params, answer_data(&answer, result));
        call(bot, "send_msg", params, BOT_CALL_MS, on_sent);
    }
}

/* From the oldest on. */
static void next_message(struct bot *bot)
{
    size_t left = json_array_size(bot->unread);
    if (left == 0) {
        json_decref(bot->unread);
        bot->unread = NULL;
        bot->current = 0;
        if (bot->again) {
            look(bot);
        }
        return;
    }
    bot->current = json_integer_value(json_array_get(bot->unread, left - 1));
    json_array_remove(bot->unread, left - 1);
    if (bot->current == bot->suspect && bot->deaths >= DEATHS_MAX) {
        pass_over(bot, "the core went down over it");
        return;
    }
    call(bot, "get_message", with_account(bot, json_integer(bot->current)), BOT_CALL_MS,
         on_message);
}

static void on_unread(json_t *result, const struct cm_err *err, void *ctx)
{
    struct bot *bot = ctx;
    if (result == NULL) {
        cm_log_err(CM_LOG_WARNING, "look_failed", err);
    }
    json_decref(bot->unread);
    bot->unread = json_is_array(result) ? json_incref(result) : json_array();
    next_message(bot);
}

static void look(struct bot *bot)
{
    if (!bot->ready) {
        return;
    }
    cm_timer_set(bot->look_timer, BOT_LOOK_MS);
    bot->again = bot->unread != NULL;
    if (bot->unread == NULL) {
        bot->unread = json_array();
        call(bot, "get_fresh_msgs", with_account(bot, NULL), BOT_CALL_MS, on_unread);
    }
}

static void on_look_timer(void *ctx)
{
    look(ctx);
}

/* ---- once a day: another login ---- */

static void on_io_started(json_t *result, const struct cm_err *err, void *ctx)
{
    (void)err;
    struct bot *bot = ctx;
    if (result == NULL) {
        core_restart(bot->core, "start_io");
    }
}

static void on_io_stopped(json_t *result, const struct cm_err *err, void *ctx)
{
    (void)result;
    (void)err;
    struct bot *bot = ctx;
    call(bot, "start_io", with_account(bot, NULL), BOT_CALL_MS, on_io_started);
}

static void on_io_timer(void *ctx)
{
    struct bot *bot = ctx;
    if (bot->ready) {
        cm_timer_set(bot->io_timer, BOT_IO_AGAIN_S * 1000);
        call(bot, "stop_io", with_account(bot, NULL), BOT_CALL_MS, on_io_stopped);
    }
}

/* ---- lost connections ---- */

static void net_look(struct bot *bot, int64_t after_ms)
{
    bot->net_ms = after_ms < BOT_NET_MAX_MS ? after_ms : BOT_NET_MAX_MS;
    cm_timer_set(bot->net_timer, bot->net_ms);
}

static void on_nudged(json_t *result, const struct cm_err *err, void *ctx)
{
    (void)result;
    (void)err;
    struct bot *bot = ctx;
    net_look(bot, bot->net_ms * 2);
}

static void on_connectivity(json_t *result, const struct cm_err *err, void *ctx)
{
    (void)err;
    struct bot *bot = ctx;
    if (!json_is_integer(result) || json_integer_value(result) >= CONNECTED) {
        bot->net_ms = 0;
        return;
    }
    call(bot, "maybe_network", json_array(), BOT_CALL_MS, on_nudged);
}

static void on_net_timer(void *ctx)
{
    struct bot *bot = ctx;
    call(bot, "get_connectivity", with_account(bot, NULL), BOT_CALL_MS,
         on_connectivity);
}

/* ---- the core's life ---- */

static void on_up(void *ctx)
{
    struct bot *bot = ctx;
    bot->step = 0;
    next_step(bot);
}

static void on_down(const struct cm_err *why, void *ctx)
{
    struct bot *bot = ctx;
    cm_log_err(CM_LOG_WARNING, "core_down", why);
    if (bot->current != 0) {
        bot->deaths = bot->current == bot->suspect ? bot->deaths + 1 : 1;
        bot->suspect = bot->current;
    }
    bot->ready = false;
    bot->again = false;
    bot->current = 0;
    json_decref(bot->unread);
    bot->unread = NULL;
    cm_timer_stop(bot->look_timer);
    cm_timer_stop(bot->io_timer);
    cm_timer_stop(bot->net_timer);
    bot->net_ms = 0;
}

static void on_event(const char *kind, void *ctx)
{
    struct bot *bot = ctx;
    if (strcmp(kind, "IncomingMsg") == 0 || strcmp(kind, "IncomingMsgBunch") == 0) {
        look(bot);
    } else if (strcmp(kind, "ConnectivityChanged") == 0 && bot->ready &&
               bot->net_ms == 0) {
        net_look(bot, BOT_NET_MS);
    }
}

struct bot *bot_new(struct cm_loop *loop, const struct bot_options *options)
{
    struct bot *bot = cm_calloc(1, sizeof(*bot));
    struct core_hooks hooks = {
        .up = on_up, .down = on_down, .event = on_event, .ctx = bot};
    bot->options = *options;
    bot->password = cm_strdup(options->password);
    bot->accounts_dir = cm_asprintf("%s/accounts", options->dir);
    bot->look_timer = cm_timer_new(loop, on_look_timer, bot);
    bot->io_timer = cm_timer_new(loop, on_io_timer, bot);
    bot->net_timer = cm_timer_new(loop, on_net_timer, bot);
    bot->core = core_new(loop, options->core, bot->accounts_dir, &hooks);
    return bot;
}

void bot_free(struct bot **bot)
{
    struct bot *b = *bot;
    if (b == NULL) {
        return;
    }
    core_free(&b->core);
    cm_timer_free(&b->look_timer);
    cm_timer_free(&b->io_timer);
    cm_timer_free(&b->net_timer);
    json_decref(b->unread);
    cm_wipe_str(&b->password);
    free(b->accounts_dir);
    free(b);
    *bot = NULL;
}

struct bot_counts bot_counts(const struct bot *bot)
{
    struct bot_counts counts = bot->counts;
    counts.core_restarts = core_restarts(bot->core);
    counts.ready = bot->ready;
    return counts;
}
