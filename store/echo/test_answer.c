#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PLAIN                                                                          \
    "\"chatId\":12,\"fromId\":10,\"showPadlock\":true,\"downloadState\":\"Done\""

static json_t *load(const char *fields)
{
    json_error_t e;
    char text[1000];
    snprintf(text, sizeof(text), "{%s}", fields);
    json_t *message = json_loads(text, 0, &e);
    if (message == NULL) {
        fail_msg("%s: %s", text, e.text);
    }
    return message;
}

static void is(const char *fields, enum answer_kind kind, const char *reason)
{
    json_t *message = load(fields);
    struct answer a = answer_to(message);
    if (a.kind != kind) {
        fail_msg("%s: %d", fields, (int)a.kind);
    }
    if (reason != NULL) {
        assert_string_equal(a.reason, reason);
    }
    json_decref(message);
}

static void test_decisions(void **state)
{
    (void)state;
    is(PLAIN ",\"text\":\"hello\"", ANSWER_ECHO, NULL);
    is(PLAIN ",\"text\":\"\",\"file\":\"/a/b.png\"", ANSWER_ECHO, NULL);
    is(PLAIN ",\"text\":\"/help\"", ANSWER_HELP, NULL);
    is(PLAIN ",\"text\":\"/help me\"", ANSWER_HELP, NULL);
    is(PLAIN ",\"text\":\"/helpful\"", ANSWER_ECHO, NULL);
    is(PLAIN ",\"text\":\" /help\"", ANSWER_ECHO, NULL);
    is(PLAIN ",\"text\":\"\"", ANSWER_NONE, "empty");
    is(PLAIN, ANSWER_NONE, "empty");
    is(PLAIN ",\"text\":\"x\",\"isInfo\":true", ANSWER_NONE, "info");
    is(PLAIN ",\"text\":\"x\",\"isBot\":true", ANSWER_NONE, "bot");
    is("\"chatId\":12,\"fromId\":10,\"downloadState\":\"Done\",\"text\":\"x\"",
       ANSWER_NONE, "unencrypted");
    is("\"chatId\":12,\"fromId\":1,\"showPadlock\":true,\"text\":\"x\"", ANSWER_NONE,
       "own");
    is("\"fromId\":10,\"showPadlock\":true,\"text\":\"x\"", ANSWER_NONE, "no chat");
    is("\"chatId\":12,\"fromId\":10,\"showPadlock\":true,\"text\":\"x\","
       "\"downloadState\":\"InProgress\"",
       ANSWER_LATER, "partial");
    is("\"chatId\":12,\"fromId\":10,\"showPadlock\":true,\"text\":\"x\","
       "\"downloadState\":\"Failure\"",
       ANSWER_NONE, "undecipherable");
    is("\"chatId\":\"12\",\"text\":7", ANSWER_NONE, "no chat");
}

static void data_is(const char *fields, const char *want)
{
    json_t *message = load(fields);
    struct answer a = answer_to(message);
    json_t *data = answer_data(&a, message);
    char *text = json_dumps(data, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, want);
    assert_int_equal(a.chat, 12);
    free(text);
    json_decref(data);
    json_decref(message);
}

static void test_data(void **state)
{
    (void)state;
    data_is(PLAIN ",\"text\":\"a \\\"b\\\"\\n\",\"viewType\":\"Text\"",
            "{\"text\":\"a \\\"b\\\"\\n\"}");
    data_is(PLAIN ",\"text\":\"\",\"file\":\"/a/b\",\"fileName\":\"c.png\","
                  "\"viewType\":\"Image\"",
            "{\"file\":\"/a/b\",\"filename\":\"c.png\",\"viewtype\":\"Image\"}");
    data_is(PLAIN ",\"text\":\"see\",\"file\":\"/a/b\",\"viewType\":\"File\"",
            "{\"file\":\"/a/b\",\"text\":\"see\",\"viewtype\":\"File\"}");
    /* Help is one line, and only that. */
    data_is(PLAIN ",\"text\":\"/help\",\"file\":\"/a/b\"",
            "{\"text\":\"Everything you send here comes back to you.\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decisions),
                                       cmocka_unit_test(test_data)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
