#include "verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"

/* ---- the envelope ---- */

static bool is_text_list(const json_t *o)
{
    size_t i;
    const json_t *v;
    json_array_foreach(o, i, v)
    {
        if (!json_is_string(v)) {
            return false;
        }
    }
    return json_is_array(o);
}

/* Every key of it, with the type that docs/json.md promises. */
static int check_envelope(const json_t *e, const char *verb, int status,
                          struct cm_err *err)
{
    const char *named = json_string_value(json_object_get(e, "verb"));
    const json_t *error = json_object_get(e, "error");
    const json_t *data = json_object_get(e, "data");
    bool same = verb == NULL ? json_is_null(json_object_get(e, "verb"))
                             : named != NULL && strcmp(named, verb) == 0;
    if (json_integer_value(json_object_get(e, "chatops")) != 1 || !same ||
        !json_is_integer(json_object_get(e, "exit")) ||
        json_integer_value(json_object_get(e, "exit")) != status ||
        json_is_true(json_object_get(e, "ok")) != (status == 0) ||
        !json_is_boolean(json_object_get(e, "ok")) ||
        !json_is_integer(json_object_get(e, "ms")) ||
        !(json_is_null(error) || json_is_string(error)) ||
        !is_text_list(json_object_get(e, "warnings")) ||
        !is_text_list(json_object_get(e, "notes")) ||
        !(json_is_null(data) || json_is_object(data)) ||
        (status == 0 && !json_is_object(data))) {
        char *text = json_dumps(e, JSON_COMPACT);
        cm_err_set(err, CM_ERR_REFUSE, "not the envelope of %s with status %d: %.500s",
                   verb != NULL ? verb : "no verb", status, text);
        free(text);
        return -1;
    }
    return 0;
}

int verb_check_lines(const char *said, const char *verb, int status, json_t **data_r,
                     struct cm_err *err)
{
    json_t *last = NULL;
    for (const char *l = said; *l != '\0';) {
        size_t n = strcspn(l, "\n");
        json_error_t why;
        bool before = last != NULL && json_object_get(last, "event") == NULL;
        json_decref(last);
        last = json_loadb(l, n, 0, &why);
        if (!json_is_object(last) || before) {
            json_decref(last);
            return cm_err_set(err, CM_ERR_REFUSE, "%s: %.*s",
                              before ? "a line behind the envelope" : why.text,
                              (int)(n < 300 ? n : 300), l);
        }
        l += n + (l[n] == '\n');
    }
    int rc = last == NULL ? cm_err_set(err, CM_ERR_REFUSE, "nothing on stdout")
                          : check_envelope(last, verb, status, err);
    if (rc == 0 && data_r != NULL) {
        *data_r = json_incref(json_object_get(last, "data"));
    }
    json_decref(last);
    return rc;
}

/* ---- the screen ---- */

static int too_wide(const char *line, size_t n, struct cm_err *err)
{
    return cm_err_set(err, CM_ERR_REFUSE, "%zu columns: %.*s", n,
                      (int)(n < 300 ? n : 300), line);
}

int verb_check_plain(const char *said, struct cm_err *err)
{
    for (const char *l = said; *l != '\0';) {
        size_t n = strcspn(l, "\n");
        for (size_t i = 0; i < n; i++) {
            if ((unsigned char)l[i] < 0x20 || l[i] == 0x7f) {
                return cm_err_set(err, CM_ERR_REFUSE, "control character %d in: %.*s",
                                  l[i], (int)n, l);
            }
        }
        bool copied = memmem(l, n, "   IN ", 6) != NULL; /* a DNS record */
        if (n > VERB_WIDTH && !copied && strncmp(l, "chatops: ", 9) != 0) {
            return too_wide(l, n, err);
        }
        l += n + (l[n] == '\n');
    }
    return 0;
}

/* What is drawn over (behind a carriage return) is a line of its own. */
int verb_check_terminal(const char *said, int *escapes_r, struct cm_err *err)
{
    *escapes_r = 0;
    for (const char *l = said; *l != '\0';) {
        size_t n = strcspn(l, "\r\n"), columns = 0;
        for (size_t i = 0; i < n; i++) {
            if (l[i] != '\033') {
                columns++;
                continue;
            }
            i += strcspn(l + i, "ABCDHJKfhlmsu\r\n");
            *escapes_r += l[i] == 'm';
        }
        if (columns > VERB_WIDTH) {
            return too_wide(l, n, err);
        }
        l += n + (l[n] != '\0');
    }
    return 0;
}

/* ---- calls ---- */

static int call(struct stage *stage, const char *words, const char *more, int want,
                char **said_r, struct cm_err *err)
{
    int status = stage_ask(stage, "operator", NULL, said_r, err,
                           "cd " CLUSTER_DIR " && chatops %s%s", words, more);
    if (status >= 0 && status != want) {
        cm_err_set(err, CM_ERR_REFUSE, "chatops %s: status %d, not %d: %.600s", words,
                   status, want, *said_r);
        free(*said_r);
        return -1;
    }
    return status < 0 ? -1 : 0;
}

int verb_json(struct stage *stage, const char *verb, const char *words, int status,
              json_t **data_r, char **lines_r, struct cm_err *err)
{
    char *said = NULL;
    if (call(stage, words, " --json 2>/dev/null", status, &said, err) != 0) {
        return -1;
    }
    int rc = verb_check_lines(said, verb, status, data_r, err);
    if (rc == 0 && lines_r != NULL) {
        *lines_r = said;
    } else {
        free(said);
    }
    return rc == 0 ? 0 : cm_err_prefix(err, "chatops %s --json", words);
}

int verb_plain(struct stage *stage, const char *words, int status, char **said_r,
               struct cm_err *err)
{
    char *said = NULL;
    if (call(stage, words, "", status, &said, err) != 0) {
        return -1;
    }
    int rc = verb_check_plain(said, err);
    if (rc == 0 && said_r != NULL) {
        *said_r = said;
    } else {
        free(said);
    }
    return rc == 0 ? 0 : cm_err_prefix(err, "chatops %s", words);
}

static int on_terminal(struct stage *stage, const char *env, const char *words,
                       int want, bool colours, struct cm_err *err)
{
    char *said = NULL;
    int escapes = 0;
    int status = stage_ask(stage, "operator", NULL, &said, err,
                           "cd " CLUSTER_DIR " && TERM=xterm %s script -qec"
                           " 'stty cols 80; chatops %s' /dev/null </dev/null",
                           env, words);
    if (status < 0) {
        return -1;
    }
    int rc = status != want
                 ? cm_err_set(err, CM_ERR_REFUSE, "status %d, not %d: %.400s", status,
                              want, said)
                 : verb_check_terminal(said, &escapes, err);
    if (rc == 0 && (escapes > 0) != colours) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "%d colours: %.400s", escapes, said);
    }
    free(said);
    return rc == 0 ? 0 : cm_err_prefix(err, "chatops %s on a terminal", words);
}

int verb_terminal(struct stage *stage, const char *words, int status,
                  struct cm_err *err)
{
    return on_terminal(stage, "", words, status, true, err) != 0 ||
                   on_terminal(stage, "NO_COLOR=1", words, status, false, err) != 0
               ? -1
               : 0;
}
