#include "chat.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "core.h"

#define CONFIGURE_MS 180000
#define PREFIX_MAX   48

struct chat_client *chat_open(const struct chat_options *options, struct cm_err *err)
{
    const char *argv[PREFIX_MAX + 4];
    size_t n = 0;
    for (const char *const *p = options->prefix; p != NULL && *p != NULL; p++) {
        cm_assert(n < PREFIX_MAX);
        argv[n++] = *p;
    }
    /* By env(1), since a prefix that enters a node may not pass an environment on. */
    char *dir = cm_asprintf("DC_ACCOUNTS_PATH=%s", options->accounts_dir);
    argv[n++] = "env";
    argv[n++] = dir;
    argv[n++] = options->server;
    argv[n] = NULL;
    struct chat_client *client = cm_calloc(1, sizeof *client);
    client->rpc = rpc_open(argv, options->log_path, err);
    free(dir);
    char version[32];
    if (client->rpc == NULL || chat_version(client, version, err) != 0) {
        cm_err_prefix(err, "%s", options->server);
        chat_close(&client);
    }
    return client;
}

void chat_close(struct chat_client **client)
{
    struct chat_client *c = *client;
    if (c == NULL) {
        return;
    }
    rpc_close(&c->rpc);
    for (size_t i = 0; i < c->count; i++) {
        free(c->inbox[i].text);
        free(c->inbox[i].file_name);
    }
    free(c->inbox);
    free(c);
    *client = NULL;
}

int chat_version(struct chat_client *client, char out[32], struct cm_err *err)
{
    json_t *info = NULL;
    if (rpc_call(client->rpc, "get_system_info", json_array(), CHAT_CALL_MS, &info,
                 err) != 0) {
        return -1;
    }
    const char *version =
        json_string_value(json_object_get(info, "deltachat_core_version"));
    snprintf(out, 32, "%s", version != NULL ? version : "unknown");
    json_decref(info);
    return 0;
}

int chat_call(struct chat_client *client, const char *method, unsigned account,
              json_t *more, int64_t timeout_ms, json_t **result_r, struct cm_err *err)
{
    json_t *params = json_pack("[I]", (json_int_t)account);
    if (more != NULL) {
        json_array_append_new(params, more);
    }
    return rpc_call(client->rpc, method, params, timeout_ms, result_r, err);
}

static int get_config(struct chat_client *client, unsigned account, const char *key,
                      char *out, size_t size, struct cm_err *err)
{
    json_t *value = NULL;
    if (chat_call(client, "get_config", account, json_string(key), CHAT_CALL_MS, &value,
                  err) != 0) {
        return -1;
    }
    const char *text = json_string_value(value);
    snprintf(out, size, "%s", text != NULL ? text : "");
    json_decref(value);
    return 0;
}

int chat_account(struct chat_client *client, const char *uri, unsigned *account_r,
                 char addr[128], struct cm_err *err)
{
    json_t *id = NULL;
    if (rpc_call(client->rpc, "add_account", json_array(), CHAT_CALL_MS, &id, err) !=
        0) {
        return -1;
    }
    unsigned account = (unsigned)json_integer_value(id);
    json_decref(id);
    if (chat_call(client, "add_transport_from_qr", account, json_string(uri),
                  CONFIGURE_MS, NULL, err) != 0 ||
        chat_call(client, "start_io", account, NULL, CHAT_CALL_MS, NULL, err) != 0 ||
        (addr != NULL &&
         get_config(client, account, "configured_addr", addr, 128, err) != 0)) {
        return -1;
    }
    *account_r = account;
    return 0;
}

static void add_escaped(struct cm_buf *b, const char *s, const char *also)
{
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (isalnum(c) || strchr("-._~", c) != NULL || strchr(also, c) != NULL) {
            cm_buf_add(b, s, 1);
        } else {
            cm_buf_fmt(b, "%%%02X", c);
        }
    }
}

char *chat_login_uri(const char *addr, const char *password, const char *host)
{
    struct cm_buf b;
    cm_buf_init(&b, 4096);
    cm_buf_str(&b, "dclogin:");
    add_escaped(&b, addr, "@[]");
    cm_buf_str(&b, "?p=");
    add_escaped(&b, password, "");
    cm_buf_str(&b, "&v=1");
    if (host != NULL) {
        const char *open = strchr(host, ':') != NULL ? "[" : "";
        const char *shut = strchr(host, ':') != NULL ? "]" : "";
        cm_buf_fmt(&b, "&ih=%s%s%s&ip=993&is=ssl&sh=%s%s%s&sp=465&ss=ssl&ic=3", open,
                   host, shut, open, host, shut);
    }
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

/* --- the handshake --- */

struct progress {
    const char *kind;
    unsigned account;
};

static bool is_complete(const struct rpc_event *event, void *ctx)
{
    const struct progress *p = ctx;
    return event->account == p->account && strcmp(event->kind, p->kind) == 0 &&
           json_integer_value(json_object_get(event->body, "progress")) == 1000;
}

/* 0 with the event's time and, for the inviter, its chat. */
static int wait_complete(struct chat_end *end, const char *kind, int64_t until_ms,
                         int64_t *at_ms_r, struct cm_err *err)
{
    struct progress want = {.kind = kind, .account = end->account};
    struct rpc_event event;
    int rc = rpc_take(end->client->rpc, is_complete, &want, until_ms, &event, err);
    if (rc <= 0) {
        return rc < 0 ? -1 : cm_err_set(err, CM_ERR_RETRY, "no %s 1000 in time", kind);
    }
    *at_ms_r = event.at_ms;
    json_int_t chat = json_integer_value(json_object_get(event.body, "chatId"));
    if (chat != 0) {
        end->chat = (unsigned)chat;
    }
    rpc_event_clear(&event);
    return 0;
}

static int scan(struct chat_end *joiner, json_t *code, struct cm_err *err)
{
    json_t *chat = NULL;
    int rc = chat_call(joiner->client, "secure_join", joiner->account, code,
                       CHAT_CALL_MS, &chat, err);
    if (rc == 0) {
        joiner->chat = (unsigned)json_integer_value(chat);
    }
    json_decref(chat);
    return rc;
}

int chat_scan(struct chat_end *joiner, const char *code, int64_t timeout_ms,
              int64_t *ms_r, struct cm_err *err)
{
    int64_t begin = cm_now_mono_ms(), joined = 0;
    if (scan(joiner, json_string(code), err) != 0 ||
        wait_complete(joiner, "SecurejoinJoinerProgress", begin + timeout_ms, &joined,
                      err) != 0) {
        return -1;
    }
    *ms_r = joined - begin;
    return 0;
}

/* code_of: the chat that the code lets into, or null; taken over. */
static int start_join(struct chat_end *inviter, struct chat_end *joiner,
                      json_t *code_of, struct cm_err *err)
{
    json_t *code = NULL;
    if (chat_call(inviter->client, "get_chat_securejoin_qr_code", inviter->account,
                  code_of, CHAT_CALL_MS, &code, err) != 0) {
        return -1;
    }
    return scan(joiner, code, err);
}

int chat_join(struct chat_end *inviter, struct chat_end *joiner, int64_t timeout_ms,
              int64_t *ms_r, struct cm_err *err)
{
    return chat_join_by(inviter, joiner, json_null(), timeout_ms, ms_r, err);
}

int chat_join_by(struct chat_end *inviter, struct chat_end *joiner, json_t *code_of,
                 int64_t timeout_ms, int64_t *ms_r, struct cm_err *err)
{
    int64_t begin = cm_now_mono_ms();
    int64_t until = begin + timeout_ms;
    int64_t joined = 0;
    int64_t invited = 0;
    if (start_join(inviter, joiner, code_of, err) != 0 ||
        wait_complete(joiner, "SecurejoinJoinerProgress", until, &joined, err) != 0 ||
        wait_complete(inviter, "SecurejoinInviterProgress", until, &invited, err) !=
            0) {
        return -1;
    }
    if (inviter->chat == 0 || joiner->chat == 0) {
        return cm_err_set(err, CM_ERR_RETRY, "the handshake made no chat");
    }
    *ms_r = (joined > invited ? joined : invited) - begin;
    return 0;
}

/* --- messages --- */

int chat_send(const struct chat_end *from, const char *text, int64_t *sent_at_ms_r,
              struct cm_err *err)
{
    int64_t at = cm_now_mono_ms();
    json_t *params =
        json_pack("[I, I, s]", (json_int_t)from->account, (json_int_t)from->chat, text);
    if (rpc_call(from->client->rpc, "misc_send_text_message", params, CHAT_CALL_MS,
                 NULL, err) != 0) {
        return -1;
    }
    *sent_at_ms_r = at;
    return 0;
}

static bool is_incoming(const struct rpc_event *event, void *ctx)
{
    (void)ctx;
    return strcmp(event->kind, "IncomingMsg") == 0;
}

static char *text_of(const json_t *message, const char *key)
{
    const char *text = json_string_value(json_object_get(message, key));
    return cm_strdup(text != NULL ? text : "");
}

static void remember(struct chat_client *client, const struct rpc_event *event,
                     json_t *message)
{
    if (client->count == CHAT_INBOX_MAX) {
        return;
    }
    client->inbox =
        cm_realloc_array(client->inbox, client->count + 1, sizeof *client->inbox);
    client->inbox[client->count++] = (struct chat_received){
        .account = event->account,
        .text = text_of(message, "text"),
        .file_name = text_of(message, "fileName"),
        .id = json_integer_value(json_object_get(message, "id")),
        .chat = json_integer_value(json_object_get(message, "chatId")),
        .message = {.at_ms = event->at_ms,
                    .encrypted = json_is_true(json_object_get(message, "showPadlock"))},
    };
}

/* Moves one incoming message from the core into the inbox. Returns 1, 0, -1. */
static int collect(struct chat_client *client, int64_t until_ms, struct cm_err *err)
{
    struct rpc_event event;
    json_t *message = NULL;
    int rc = rpc_take(client->rpc, is_incoming, NULL, until_ms, &event, err);
    if (rc <= 0) {
        return rc;
    }
    json_t *id = json_incref(json_object_get(event.body, "msgId"));
    rc = chat_call(client, "get_message", event.account, id, CHAT_CALL_MS, &message,
                   err);
    /* A message that was deleted meanwhile is no reason to stop. */
    if (rc == 0) {
        remember(client, &event, message);
    }
    json_decref(message);
    rpc_event_clear(&event);
    return rc == 0 || err->kind == CM_ERR_REFUSE ? 1 : -1;
}

static const struct chat_received *
find(const struct chat_client *client, unsigned account, const char *text, size_t *from)
{
    for (; *from < client->count; (*from)++) {
        const struct chat_received *r = &client->inbox[*from];
        if (r->account == account && strcmp(r->text, text) == 0) {
            return r;
        }
    }
    return NULL;
}

const struct chat_received *chat_find(const struct chat_client *client,
                                      unsigned account, const char *text)
{
    size_t from = 0;
    return find(client, account, text, &from);
}

int chat_wait_text(struct chat_client *client, unsigned account, const char *text,
                   int64_t timeout_ms, struct chat_message *message_r,
                   struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + timeout_ms;
    size_t from = 0;
    for (;;) {
        const struct chat_received *r = find(client, account, text, &from);
        if (r != NULL) {
            *message_r = r->message;
            return 1;
        }
        int rc = collect(client, until, err);
        if (rc <= 0) {
            return rc;
        }
    }
}

int chat_send_file(const struct chat_end *from, const char *path, struct cm_err *err)
{
    json_t *params = json_pack("[I, I, {s:s}]", (json_int_t)from->account,
                               (json_int_t)from->chat, "file", path);
    return rpc_call(from->client->rpc, "send_msg", params, CHAT_CALL_MS, NULL, err);
}

int chat_await_file(struct chat_client *client, const struct chat_received *r,
                    int64_t until_ms, char path_r[512], struct cm_err *err)
{
    do {
        json_t *message = NULL;
        if (chat_call(client, "get_message", r->account, json_integer(r->id),
                      CHAT_CALL_MS, &message, err) != 0) {
            return -1;
        }
        char *path = text_of(message, "file");
        snprintf(path_r, 512, "%s", path);
        free(path);
        json_decref(message);
        if (path_r[0] != '\0') {
            return 1;
        }
        usleep(200000);
    } while (cm_now_mono_ms() < until_ms);
    return 0;
}

int chat_wait_file(struct chat_client *client, unsigned account, const char *name,
                   int64_t timeout_ms, char path_r[512], struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + timeout_ms;
    for (size_t i = 0;; i++) {
        while (i == client->count) {
            int rc = collect(client, until, err);
            if (rc <= 0) {
                return rc;
            }
        }
        const struct chat_received *r = &client->inbox[i];
        if (r->account == account && strcmp(r->file_name, name) == 0) {
            return chat_await_file(client, r, until, path_r, err);
        }
    }
}

int chat_wait_begins(struct chat_client *client, unsigned account, const char *text,
                     int64_t until_ms, const struct chat_received **r,
                     struct cm_err *err)
{
    for (size_t i = 0;; i++) {
        while (i == client->count) {
            int rc = collect(client, until_ms, err);
            if (rc <= 0) {
                return rc;
            }
        }
        *r = &client->inbox[i];
        if ((*r)->account == account && strncmp((*r)->text, text, strlen(text)) == 0) {
            return 1;
        }
    }
}

int chat_deliver(const struct chat_end *from, const struct chat_end *to,
                 const char *text, int64_t timeout_ms, int64_t *ms_r,
                 struct cm_err *err)
{
    int64_t sent;
    struct chat_message message;
    if (chat_send(from, text, &sent, err) != 0) {
        return -1;
    }
    int rc = chat_wait_text(to->client, to->account, text, timeout_ms, &message, err);
    if (rc <= 0) {
        return rc < 0 ? -1
                      : cm_err_set(err, CM_ERR_RETRY, "\"%s\" did not come in %lld s",
                                   text, (long long)timeout_ms / 1000);
    }
    if (!message.encrypted) {
        return cm_err_set(err, CM_ERR_REFUSE, "\"%s\" came unencrypted", text);
    }
    *ms_r = message.at_ms - sent;
    return 0;
}

size_t chat_count(struct chat_client *client, unsigned account, const char *text)
{
    struct cm_err ignored;
    size_t n = 0;
    while (collect(client, 0, &ignored) == 1) {
    }
    for (size_t from = 0; find(client, account, text, &from) != NULL; from++) {
        n++;
    }
    return n;
}

static bool is_idle(const struct rpc_event *event, void *ctx)
{
    const unsigned *account = ctx;
    return event->account == *account && strcmp(event->kind, "ImapInboxIdle") == 0;
}

int chat_wait_idle(struct chat_client *client, unsigned account, int64_t timeout_ms,
                   struct cm_err *err)
{
    struct rpc_event event;
    int64_t until = cm_now_mono_ms() + timeout_ms;
    int rc = rpc_take(client->rpc, is_idle, &account, until, &event, err);
    if (rc == 1) {
        rpc_event_clear(&event);
    }
    return rc;
}

int chat_maybe_network(struct chat_client *client, struct cm_err *err)
{
    return rpc_call(client->rpc, "maybe_network", json_array(), CHAT_CALL_MS, NULL,
                    err);
}
