#include "answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

static struct {
    bool json;
    const char *verb;
    int64_t from_ms;
    json_t *data;
    json_t *error;
    json_t *notes;
    json_t *warnings;
} answer;

void op_answer_begin(const char *verb, bool json)
{
    answer.json = json;
    answer.verb = verb;
    answer.from_ms = cm_now_mono_ms();
    answer.data = answer.error = NULL;
    answer.notes = json ? json_array() : NULL;
    answer.warnings = json ? json_array() : NULL;
}

int64_t op_answer_elapsed_ms(void)
{
    return answer.verb != NULL ? cm_now_mono_ms() - answer.from_ms : 0;
}

bool op_answer_json(void)
{
    return answer.json;
}

json_t *op_answer_text(const char *text)
{
    json_t *s = json_string(text);

    if (s != NULL) {
        return s;
    }
    char *copy = cm_strdup(text);
    for (char *p = copy; *p != '\0'; p++) {
        if ((unsigned char)*p >= 0x80) {
            *p = '?';
        }
    }
    s = json_string(copy);
    free(copy);
    cm_assert(s != NULL);
    return s;
}

static void print_line(json_t *o)
{
    cm_assert(json_dumpf(o, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) == 0);
    putchar('\n');
    fflush(stdout);
    json_decref(o);
}

void op_answer(json_t *data)
{
    cm_assert(data != NULL);
    json_decref(answer.data);
    answer.data = answer.json ? data : NULL;
    if (!answer.json) {
        json_decref(data);
    }
}

void op_answer_event(const char *event, json_t *o)
{
    json_t *line = json_pack("{s:s}", "event", event);

    cm_assert(o != NULL && json_object_update(line, o) == 0);
    json_decref(o);
    print_line(line);
}

static void keep(json_t *list, const char *text)
{
    if (answer.json && text[0] != '\0' && json_array_size(list) < OP_ANSWER_LINES_MAX) {
        json_array_append_new(list, op_answer_text(text));
    }
}

void op_answer_note(const char *text)
{
    keep(answer.notes, text);
}

void op_answer_warning(const char *text)
{
    keep(answer.warnings, text);
}

void op_answer_error(const char *text)
{
    if (answer.json) {
        json_decref(answer.error);
        answer.error = op_answer_text(text);
    }
}

static json_t *or_null(json_t *value)
{
    return value != NULL ? value : json_null();
}

void op_answer_end(int exit_code)
{
    if (!answer.json) {
        return;
    }
    print_line(json_pack("{s:i, s:s?, s:b, s:i, s:I, s:o, s:o, s:o, s:o}", "chatops",
                         OP_ANSWER_VERSION, "verb", answer.verb, "ok", exit_code == 0,
                         "exit", exit_code, "ms",
                         (json_int_t)(cm_now_mono_ms() - answer.from_ms), "error",
                         or_null(answer.error), "warnings", answer.warnings, "notes",
                         answer.notes, "data", or_null(answer.data)));
    op_answer_begin(NULL, false);
}
