/* The verbs' words as shell completion and man page; and the verb that prints it. */
#include "completion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "cli.h"
#include "common/buf.h"
#include "common/mem.h"

#define TEXT_MAX (256 * 1024)

/* ---- bash ---- */

static const char bash_head[] =
    "# bash completion of chatops; made from its table of verbs: chatops completion "
    "bash\n"
    "_chatops_gateways()\n"
    "{\n"
    "    sed -n 's/^\\[gateway \\([^]]*\\)\\].*/\\1/p' "
    "\"${CHATMAIL_INI:-chatmail.ini}\" 2>/dev/null\n"
    "}\n"
    "_chatops()\n"
    "{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local line=' ' i w skip=0\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        w=${COMP_WORDS[i]}\n"
    "        if ((skip)); then skip=0; continue; fi\n"
    "        case $w in\n";

static const char bash_mid[] = "        -*) ;;\n"
                               "        *) line+=\"$w \" ;;\n"
                               "        esac\n"
                               "    done\n"
                               "    COMPREPLY=()\n"
                               "    case $prev in\n";

static const char bash_words[] = "    esac\n"
                                 "    case $line in\n";

static const char bash_tail[] = "    *) w='' ;;\n"
                                "    esac\n"
                                "    COMPREPLY=($(compgen -W \"$w\" -- \"$cur\"))\n"
                                "}\n"
                                "complete -o default -F _chatops chatops\n";

/* The pattern of all options with that metavar, NULL: with any; and what is done. */
static void put_case(struct cm_buf *b, const char *metavar, const char *action)
{
    const char *between = "    ";

    for (const struct op_option *o = op_options; o->name != NULL; o++) {
        if (o->metavar != NULL &&
            (metavar == NULL || strcmp(o->metavar, metavar) == 0)) {
            cm_buf_fmt(b, "%s%s", between, o->name);
            between = " | ";
        }
    }
    cm_buf_fmt(b, ") %s ;;\n", action);
}

/* The words that may follow `so_far` ("" or "gateway "), each once. */
static void put_next(struct cm_buf *b, const char *so_far)
{
    size_t n = strlen(so_far), last_len = 0;
    const char *last = "";

    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        if (strncmp(v->name, so_far, n) != 0 || v->name[n] == '\0') {
            continue;
        }
        const char *word = v->name + n;
        size_t len = strcspn(word, " ");
        if (len != last_len || strncmp(word, last, len) != 0) {
            cm_buf_fmt(b, " %.*s", (int)len, word);
        }
        last = word;
        last_len = len;
    }
}

static void put_common(struct cm_buf *b)
{
    for (const struct op_option *o = op_options; o->name != NULL; o++) {
        if (o->common) {
            cm_buf_fmt(b, " %s", o->name);
        }
    }
}

static bool begins_others(const struct op_verb *verb)
{
    size_t n = strlen(verb->name);

    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        if (strncmp(v->name, verb->name, n) == 0 && v->name[n] == ' ') {
            return true;
        }
    }
    return false;
}

/* Of a gateway that there is; add and invite are for one that there is not. */
static bool takes_gateway(const struct op_verb *v)
{
    return strncmp(v->name, "gateway ", 8) == 0 && v->args[0] != '\0' &&
           strcmp(v->name, "gateway add") != 0 &&
           strcmp(v->name, "gateway invite") != 0;
}

static void put_verb_words(struct cm_buf *b, const struct op_verb *v)
{
    cm_buf_fmt(b, "    ' %s '*) w='%s", v->name, v->options);
    if (begins_others(v)) {
        char *start = cm_asprintf("%s ", v->name);
        put_next(b, start);
        free(start);
    }
    put_common(b);
    cm_buf_fmt(b, "'%s ;;\n", takes_gateway(v) ? "\" $(_chatops_gateways)\"" : "");
}

static size_t words_of(const struct op_verb *v)
{
    return strchr(v->name, ' ') != NULL ? 2 : 1;
}

char *op_completion_bash(void)
{
    struct cm_buf b;

    cm_buf_init(&b, TEXT_MAX);
    cm_buf_str(&b, bash_head);
    put_case(&b, NULL, "skip=1");
    cm_buf_str(&b, bash_mid);
    put_case(&b, "FILE", "COMPREPLY=($(compgen -f -- \"$cur\")); return");
    put_case(&b, "DIR", "COMPREPLY=($(compgen -d -- \"$cur\")); return");
    put_case(&b, "NODE",
             "COMPREPLY=($(compgen -W \"store $(_chatops_gateways)\" -- \"$cur\")); "
             "return");
    put_case(&b, "NAME",
             "COMPREPLY=($(compgen -W \"$(_chatops_gateways)\" -- \"$cur\")); return");
    put_case(&b, NULL, "return");
    cm_buf_str(&b, bash_words);
    cm_buf_str(&b, "    ' ') w='");
    put_next(&b, "");
    put_common(&b);
    cm_buf_str(&b, "' ;;\n    ' gateway ') w='");
    put_next(&b, "gateway ");
    cm_buf_str(&b, "' ;;\n");
    /* the longer name first: a pattern takes all that begins with it */
    for (size_t words = 2; words > 0; words--) {
        for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
            if (words_of(v) == words) {
                put_verb_words(&b, v);
            }
        }
    }
    cm_buf_str(&b, bash_tail);
    return cm_buf_steal(&b);
}

/* ---- man ---- */

/* A line of mdoc text: one that begins with a dot or an apostrophe is a request, and a
 * backslash an escape. */
static void put_roff(struct cm_buf *b, const char *text)
{
    if (text[0] == '.' || text[0] == '\'') {
        cm_buf_str(b, "\\&");
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == ' ' && p > text && p[-1] == '.') {
            cm_buf_str(b, "\n"); /* a sentence, a line */
            continue;
        }
        cm_buf_add(b, p, 1);
        if (*p == '\\') {
            cm_buf_str(b, "e");
        }
    }
    cm_buf_str(b, "\n");
}

/* "--wg-key" as the argument of Fl, which writes the first dash itself. */
static void put_flag(struct cm_buf *b, const struct op_option *o)
{
    const char *blank = o->metavar != NULL ? strchr(o->metavar, ' ') : NULL;

    cm_buf_fmt(b, "Fl %s", o->name + 1);
    if (o->metavar != NULL) {
        cm_buf_fmt(b, " Ar %s", blank != NULL ? "LIST" : o->metavar);
    }
}

static bool has_option(const struct op_verb *v, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = v->options; (p = strstr(p, name)) != NULL; p += n) {
        if (p[n] == '\0' || p[n] == ' ') {
            return true;
        }
    }
    return false;
}

static void put_arguments(struct cm_buf *b, const struct op_verb *v)
{
    if (v->args[0] != '\0') {
        cm_buf_fmt(b, " Ar %s", v->args);
    }
}

static void put_synopsis(struct cm_buf *b)
{
    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        cm_buf_fmt(b, ".Nm\n.Cm %s\n", v->name);
        for (const struct op_option *o = op_options; o->name != NULL; o++) {
            if (!o->common && has_option(v, o->name)) {
                cm_buf_str(b, ".Op ");
                put_flag(b, o);
                cm_buf_str(b, "\n");
            }
        }
        if (v->args[0] != '\0') {
            cm_buf_fmt(b, ".Ar %s\n", v->args);
        }
    }
}

static void put_item(struct cm_buf *b, const struct op_option *o)
{
    cm_buf_str(b, ".It ");
    if (o->letter != NULL) {
        cm_buf_fmt(b, "Fl %s , ", o->letter + 1);
    }
    put_flag(b, o);
    cm_buf_str(b, "\n");
    put_roff(b, o->help);
}

static void put_common_items(struct cm_buf *b)
{
    cm_buf_str(b, ".Bl -tag -width Ds\n");
    for (const struct op_option *o = op_options; o->name != NULL; o++) {
        if (o->common) {
            put_item(b, o);
        }
    }
    cm_buf_str(b, ".El\n");
}

static void put_verb(struct cm_buf *b, const struct op_verb *v)
{
    cm_buf_fmt(b, ".It Cm %s", v->name);
    put_arguments(b, v);
    cm_buf_str(b, "\n");
    put_roff(b, v->help);
    if (v->options[0] == '\0') {
        return;
    }
    cm_buf_str(b, ".Bl -tag -width Ds -compact\n");
    for (const struct op_option *o = op_options; o->name != NULL; o++) {
        if (!o->common && has_option(v, o->name)) {
            put_item(b, o);
        }
    }
    cm_buf_str(b, ".El\n");
}

static const struct op_verb *find_verb(const char *name, size_t len)
{
    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        if (strlen(v->name) == len && strncmp(v->name, name, len) == 0) {
            return v;
        }
    }
    return NULL;
}

static int put_line(struct cm_buf *b, const char *line, size_t len, struct cm_err *err)
{
    if (len == 9 && memcmp(line, "@synopsis", 9) == 0) {
        put_synopsis(b);
    } else if (len == 8 && memcmp(line, "@options", 8) == 0) {
        put_common_items(b);
    } else if (len > 6 && memcmp(line, "@verb ", 6) == 0) {
        const struct op_verb *v = find_verb(line + 6, len - 6);
        if (v == NULL) {
            return cm_err_set(err, CM_ERR_WORLD, "the page has a verb \"%.*s\"",
                              (int)len - 6, line + 6);
        }
        put_verb(b, v);
    } else {
        cm_buf_add(b, line, len);
        cm_buf_str(b, "\n");
    }
    return 0;
}

static int check_all(const char *template, struct cm_err *err)
{
    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        char *line = cm_asprintf("\n@verb %s\n", v->name);
        bool there = strstr(template, line) != NULL;
        free(line);
        if (!there) {
            return cm_err_set(err, CM_ERR_WORLD, "the page has no line \"@verb %s\"",
                              v->name);
        }
    }
    return 0;
}

int op_man(const char *template, char **page_r, struct cm_err *err)
{
    struct cm_buf b;
    int rc = check_all(template, err);

    cm_buf_init(&b, TEXT_MAX);
    for (const char *l = template; rc == 0 && *l != '\0';) {
        size_t len = strcspn(l, "\n");
        rc = put_line(&b, l, len, err);
        l += len + (l[len] == '\n');
    }
    if (rc == 0) {
        *page_r = cm_buf_steal(&b);
    } else {
        cm_buf_clear(&b);
    }
    return rc;
}

/* ---- the verb ---- */

int op_completion(const struct op_cli *cli, struct cm_err *err)
{
    if (strcmp(cli->args[0], "bash") != 0) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "no completion for \"%.40s\"; allowed: bash", cli->args[0]);
    }
    char *script = op_completion_bash();
    if (cli->json) {
        op_answer(json_pack("{s:s, s:s}", "shell", "bash", "script", script));
    } else {
        fputs(script, stdout);
    }
    free(script);
    return OP_EXIT_OK;
}
