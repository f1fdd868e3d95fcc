#include "answer.h"

#include <string.h>

#include "common/mem.h"

#define SPECIAL_CONTACTS 9 /* the core's own: self, info, device */

static const char help[] = "Everything you send here comes back to you.";

static const char *text_of(const json_t *message, const char *key)
{
    const char *text = json_string_value(json_object_get(message, key));
    return text != NULL ? text : "";
}

static bool is_true(const json_t *message, const char *key)
{
    return json_is_true(json_object_get(message, key));
}

/* "/help", alone or with words behind it. */
static bool asks_for_help(const char *text)
{
    static const char command[] = "/help";
    size_t n = strlen(command);
    return strncmp(text, command, n) == 0 &&
           (text[n] == '\0' || strchr(" \t\r\n", text[n]) != NULL);
}

static const char *reason_not_to(const json_t *message)
{
    if (is_true(message, "isInfo")) {
        return "info";
    }
    if (json_integer_value(json_object_get(message, "fromId")) <= SPECIAL_CONTACTS) {
        return "own";
    }
    if (is_true(message, "isBot")) {
        return "bot";
    }
    if (!is_true(message, "showPadlock")) {
        return "unencrypted";
    }
    if (text_of(message, "text")[0] == '\0' && text_of(message, "file")[0] == '\0') {
        return "empty";
    }
    return NULL;
}

struct answer answer_to(const json_t *message)
{
    struct answer a = {.kind = ANSWER_NONE,
                       .chat = json_integer_value(json_object_get(message, "chatId"))};
    const char *state = text_of(message, "downloadState");
    a.reason = a.chat <= 0 ? "no chat" : reason_not_to(message);
    if (a.reason != NULL) {
        return a;
    }
    if (strcmp(state, "Available") == 0 || strcmp(state, "InProgress") == 0) {
        return (struct answer){ANSWER_LATER, "partial", a.chat};
    }
    if (strcmp(state, "Done") != 0) {
        a.reason = "undecipherable";
        return a;
    }
    a.kind = asks_for_help(text_of(message, "text")) ? ANSWER_HELP : ANSWER_ECHO;
    return a;
}

json_t *answer_data(const struct answer *answer, const json_t *message)
{
    json_t *data = json_object();
    cm_assert(answer->kind == ANSWER_ECHO || answer->kind == ANSWER_HELP);
    if (answer->kind == ANSWER_HELP) {
        json_object_set_new(data, "text", json_string(help));
        return data;
    }
    static const struct {
        const char *ours, *theirs;
    } fields[] = {{"text", "text"}, {"file", "file"}, {"filename", "fileName"}};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        json_t *value = json_object_get(message, fields[i].theirs);
        if (json_string_length(value) > 0) {
            json_object_set(data, fields[i].ours, value);
        }
    }
    /* A picture goes back as a picture, not as a file. */
    json_t *view = json_object_get(message, "viewType");
    if (json_object_get(data, "file") != NULL && json_is_string(view)) {
        json_object_set(data, "viewtype", view);
    }
    return data;
}
