/* The driver against a server of this same program that misbehaves in chosen ways, and,
 * when $CHAT_SERVER names the real deltachat-rpc-server, against that one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "chat.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/run.h"
#include "people.h"
#include "rpc.h"

/* --- the server side --- */

static void say(json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    printf("%s\n", text);
    fflush(stdout);
    free(text);
    json_decref(answer);
}

static void answer(json_int_t id, json_t *result)
{
    say(json_pack("{s:s, s:I, s:o}", "jsonrpc", "2.0", "id", id, "result", result));
}

static json_t *event(int account, const char *kind, int msg)
{
    return json_pack("{s:i, s:{s:s, s:i, s:i, s:i}}", "contextId", account, "event",
                     "kind", kind, "msgId", msg, "progress", msg, "chatId", 12);
}

static json_int_t events_id; /* the request for events that waits, 0 for none */
static json_t *pending;      /* events that no request has fetched yet */

static void hand_out_events(void)
{
    if (events_id != 0 && json_array_size(pending) > 0) {
        answer(events_id, pending);
        pending = json_array();
        events_id = 0;
    }
}

static void push_events(json_t *batch)
{
    json_array_extend(pending, batch);
    json_decref(batch);
    hand_out_events();
}

/* Events come before the answer to the call that caused them, when they were asked for.
 */
static void serve(const char *method, json_int_t id, json_t *params)
{
    json_t *p1 = json_array_get(params, 1);
    if (strcmp(method, "get_next_event_batch") == 0) {
        events_id = id;
        hand_out_events();
    } else if (strcmp(method, "get_system_info") == 0) {
        answer(id, json_pack("{s:s}", "deltachat_core_version", "v0.0.0"));
    } else if (strcmp(method, "add_account") == 0) {
        answer(id, json_integer(1));
    } else if (strcmp(method, "get_chat_securejoin_qr_code") == 0) {
        answer(id, json_string("code"));
    } else if (strcmp(method, "get_config") == 0) {
        answer(id, json_string("me@_x.example"));
    } else if (strcmp(method, "secure_join") == 0) {
        push_events(json_pack("[o, o, o]", event(2, "SecurejoinJoinerProgress", 400),
                              event(1, "SecurejoinInviterProgress", 1000),
                              event(2, "SecurejoinJoinerProgress", 1000)));
        answer(id, json_integer(7));
    } else if (strcmp(method, "misc_send_text_message") == 0) {
        push_events(
            json_pack("[o, o]", event(2, "Info", 0), event(2, "IncomingMsg", 5)));
        answer(id, json_integer(9));
    } else if (strcmp(method, "get_message") == 0) {
        answer(id, json_pack("{s:s, s:b}", "text", "hello", "showPadlock",
                             json_integer_value(p1) == 5));
    } else if (strcmp(method, "flood") == 0) {
        json_t *batch = json_array();
        for (int i = 0; i < RPC_EVENTS_MAX + 3; i++) {
            json_array_append_new(batch, event(3, "ImapInboxIdle", i));
        }
        push_events(batch);
        answer(id, json_null());
    } else if (strcmp(method, "exit") == 0) {
        exit(0);
    } else if (strcmp(method, "silence") != 0) {
        say(json_pack("{s:s, s:I, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id, "error",
                      "code", -32601, "message", "Method not found"));
    }
}

static int server(void)
{
    char line[65536];
    pending = json_array();
    printf("this is not JSON\n");
    while (fgets(line, sizeof line, stdin) != NULL) {
        json_t *request = json_loads(line, 0, NULL);
        serve(json_string_value(json_object_get(request, "method")),
              json_integer_value(json_object_get(request, "id")),
              json_object_get(request, "params"));
        json_decref(request);
    }
    return 0;
}

/* --- the tests --- */

static char self[4096];

static struct rpc *start(void)
{
    struct cm_err err;
    const char *argv[] = {self, "server", NULL};
    struct rpc *rpc = rpc_open(argv, NULL, &err);
    assert_non_null(rpc);
    return rpc;
}

static void call_and_error(void **state)
{
    (void)state;
    struct cm_err err;
    struct rpc *rpc = start();
    json_t *result = NULL;
    assert_int_equal(rpc_call(rpc, "add_account", json_array(), 5000, &result, &err),
                     0);
    assert_int_equal(json_integer_value(result), 1);
    json_decref(result);
    assert_int_equal(rpc_call(rpc, "nosuch", json_array(), 5000, NULL, &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    assert_string_equal(err.text, "nosuch: Method not found");
    rpc_close(&rpc);
    assert_null(rpc);
}

static void silence_times_out_and_the_next_call_works(void **state)
{
    (void)state;
    struct cm_err err;
    struct rpc *rpc = start();
    int64_t begin = cm_now_mono_ms();
    assert_int_equal(rpc_call(rpc, "silence", json_array(), 200, NULL, &err), -1);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    assert_true(cm_now_mono_ms() - begin >= 200);
    assert_int_equal(rpc_call(rpc, "add_account", json_array(), 5000, NULL, &err), 0);
    rpc_close(&rpc);
}

static void death_is_an_error_of_every_later_call(void **state)
{
    (void)state;
    struct cm_err err;
    struct rpc *rpc = start();
    assert_int_equal(rpc_call(rpc, "exit", json_array(), 5000, NULL, &err), -1);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    assert_int_equal(rpc_call(rpc, "add_account", json_array(), 5000, NULL, &err), -1);
    assert_non_null(strstr(err.text, "chat core"));
    rpc_close(&rpc);
}

static void missing_server_is_named(void **state)
{
    (void)state;
    struct cm_err err;
    struct chat_options options = {.server = "/nonexistent/server",
                                   .accounts_dir = "/nonexistent/accounts"};
    assert_null(chat_open(&options, &err));
    assert_non_null(strstr(err.text, "/nonexistent/server"));
}

static bool is_flood(const struct rpc_event *e, void *ctx)
{
    (void)ctx;
    return e->account == 3;
}

static void too_many_events_drop_the_oldest(void **state)
{
    (void)state;
    struct cm_err err;
    struct rpc_event e;
    struct rpc *rpc = start();
    assert_int_equal(rpc_call(rpc, "flood", json_array(), 20000, NULL, &err), 0);
    assert_int_equal(rpc_take(rpc, is_flood, NULL, cm_now_mono_ms() + 5000, &e, &err),
                     1);
    assert_int_equal(json_integer_value(json_object_get(e.body, "msgId")), 3);
    assert_int_equal(rpc_dropped(rpc), 3);
    rpc_event_clear(&e);
    rpc_close(&rpc);
}

static struct chat_client *start_chat(void)
{
    struct cm_err err;
    /* The server's path is what env(1) runs: the prefix makes it "self server". */
    const char *prefix[] = {"sh", "-c", "exec \"$0\" server", self, NULL};
    struct chat_options options = {
        .prefix = prefix, .server = self, .accounts_dir = "/nonexistent"};
    struct chat_client *client = chat_open(&options, &err);
    if (client == NULL) {
        fail_msg("%s", err.text);
    }
    return client;
}

static void events_that_came_early_are_not_lost(void **state)
{
    (void)state;
    struct cm_err err;
    struct chat_client *client = start_chat();
    struct chat_end a = {.client = client, .account = 1};
    struct chat_end b = {.client = client, .account = 2};
    int64_t ms = -1;
    assert_int_equal(chat_join(&a, &b, 5000, &ms, &err), 0);
    assert_int_equal(a.chat, 12);
    assert_true(ms >= 0 && ms < 5000);
    assert_int_equal(chat_deliver(&a, &b, "hello", 5000, &ms, &err), 0);
    assert_int_equal(chat_count(client, 2, "hello"), 1);
    assert_int_equal(chat_count(client, 1, "hello"), 0);
    chat_close(&client);
}

static void a_message_that_does_not_come_is_an_error(void **state)
{
    (void)state;
    struct cm_err err;
    struct chat_message message;
    struct chat_client *client = start_chat();
    assert_int_equal(chat_wait_text(client, 2, "other", 100, &message, &err), 0);
    struct chat_end a = {.client = client, .account = 1, .chat = 1};
    int64_t ms = -1;
    assert_int_equal(chat_deliver(&a, &a, "hello", 100, &ms, &err), -1);
    assert_int_equal(ms, -1);
    chat_close(&client);
}

static void login_uri_is_escaped(void **state)
{
    (void)state;
    char *uri = chat_login_uri("a b@_x.example", "p&w@+", NULL);
    assert_string_equal(uri, "dclogin:a%20b@_x.example?p=p%26w%40%2B&v=1");
    free(uri);
    uri = chat_login_uri("ab@_x.example", "pw", "2001:db8::1");
    assert_string_equal(uri,
                        "dclogin:ab@_x.example?p=pw&v=1&ih=[2001:db8::1]&ip=993&is=ssl"
                        "&sh=[2001:db8::1]&sp=465&ss=ssl&ic=3");
    free(uri);
}

/* Without any network: keys, cards and a group. The first account of a core is 1. */
static void people_on_paper(struct chat_client *client)
{
    struct cm_err err;
    char *own = NULL;
    assert_int_equal(chat_paper_member(client, "owner@_chat.example", &own, &err), 0);
    free(own);
    struct chat_end owner = {.client = client, .account = 1}, group;
    assert_int_equal(chat_group(&owner, "all", &group, &err), 0);
    for (int i = 0; i < 3; i++) {
        char addr[40], *card = NULL;
        snprintf(addr, sizeof addr, "member%d@_chat.example", i);
        assert_int_equal(chat_paper_member(client, addr, &card, &err), 0);
        assert_non_null(strstr(card, addr));
        assert_non_null(strstr(card, "KEY"));
        assert_int_equal(chat_add_card(&group, card, &err), 0);
        free(card);
    }
    size_t members = 0;
    assert_int_equal(chat_members(&group, &members, &err), 0);
    assert_int_equal(members, 4);
    assert_int_equal(chat_read(client, 1, "never sent", &err), -1);
}

static void the_real_server_answers(void **state)
{
    (void)state;
    struct cm_err err;
    const char *path = getenv("CHAT_SERVER");
    if (path == NULL) {
        skip();
    }
    char dir[] = "/tmp/test-chat-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *accounts = cm_asprintf("%s/accounts", dir);
    struct chat_options options = {.server = path, .accounts_dir = accounts};
    struct chat_client *client = chat_open(&options, &err);
    assert_non_null(client);
    char version[32];
    assert_int_equal(chat_version(client, version, &err), 0);
    assert_string_equal(version, "v2.57.0");
    people_on_paper(client);
    unsigned account = 0;
    /* A URI it does not know is refused before any network is used. */
    assert_int_equal(chat_account(client, "nonsense", &account, NULL, &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    assert_int_equal(chat_maybe_network(client, &err), 0);
    chat_close(&client);
    free(accounts);
    const char *argv[] = {"rm", "-rf", dir, NULL};
    struct cm_run rm = {.argv = argv};
    assert_int_equal(cm_run_ok(&rm, NULL, &err), 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "server") == 0) {
        return server();
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_and_error),
        cmocka_unit_test(silence_times_out_and_the_next_call_works),
        cmocka_unit_test(death_is_an_error_of_every_later_call),
        cmocka_unit_test(missing_server_is_named),
        cmocka_unit_test(too_many_events_drop_the_oldest),
        cmocka_unit_test(events_that_came_early_are_not_lost),
        cmocka_unit_test(a_message_that_does_not_come_is_an_error),
        cmocka_unit_test(login_uri_is_escaped),
        cmocka_unit_test(the_real_server_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
