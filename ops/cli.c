#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = list; (p = strstr(p, word)) != NULL; p += n) {
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0')) {
            return true;
        }
    }
    return false;
}

bool op_cli_takes(const struct op_verb *verb, const struct op_option *option)
{
    return has_word(verb->options, option->name);
}

/* "gateway add" is two words of argv. Returns how many words the verb took, 0 for none.
 */
static int match_verb(const struct op_verb *v, int count, char **words)
{
    const char *blank = strchr(v->name, ' ');

    if (blank == NULL) {
        return strcmp(v->name, words[0]) == 0 ? 1 : 0;
    }
    size_t n = (size_t)(blank - v->name);
    bool first = strlen(words[0]) == n && strncmp(v->name, words[0], n) == 0;
    return first && count > 1 && strcmp(blank + 1, words[1]) == 0 ? 2 : 0;
}

static int unknown_verb(const char *word, struct cm_err *err)
{
    return cm_err_set(err, CM_ERR_REFUSE, "unknown verb \"%s\"; see: chatops --help",
                      word);
}

bool op_cli_in_group(const struct op_verb *verb, const char *group)
{
    size_t n = strlen(group);

    return strncmp(verb->name, group, n) == 0 &&
           (verb->name[n] == ' ' || verb->name[n] == '\0');
}

/* Does any verb of two words begin with it? */
static bool is_group(const char *word)
{
    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        if (op_cli_in_group(v, word) && v->name[strlen(word)] == ' ') {
            return true;
        }
    }
    return false;
}

/* "gateway", or "gateway fly" when `second` is not NULL. */
static int wrong_in_group(const char *group, const char *second, struct cm_err *err)
{
    struct cm_buf b;

    cm_buf_init(&b, 1600);
    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        size_t n = strlen(group);
        if (op_cli_in_group(v, group) && v->name[n] == ' ') {
            cm_buf_fmt(&b, "%s%s", b.len > 0 ? ", " : "", v->name + n + 1);
        }
    }
    if (second != NULL) {
        cm_err_set(err, CM_ERR_REFUSE, "unknown verb \"%s %s\"; after %s comes: %s",
                   group, second, group, b.data);
    } else {
        cm_err_set(err, CM_ERR_REFUSE, "after %s comes: %s; see: chatops %s --help",
                   group, b.data, group);
    }
    cm_buf_clear(&b);
    return -1;
}

static const struct op_option *find_option(const char *word, size_t len)
{
    for (const struct op_option *o = op_options; o->name != NULL; o++) {
        if ((strlen(o->name) == len && strncmp(o->name, word, len) == 0) ||
            (o->letter != NULL && strlen(o->letter) == len &&
             strncmp(o->letter, word, len) == 0)) {
            return o;
        }
    }
    return NULL;
}

/* Takes argv[*i] (and the next for a value). "--name=value" is understood too. */
static int take_option(struct op_cli *cli, const struct op_verb *verb, char **argv,
                       int *i, struct cm_err *err)
{
    const char *word = argv[*i];
    const char *equals = strchr(word, '=');
    size_t len = equals != NULL ? (size_t)(equals - word) : strlen(word);
    const struct op_option *o = find_option(word, len);

    if (o == NULL || !(o->common || (verb != NULL && op_cli_takes(verb, o)))) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "unknown option %s; see: chatops %s%s--help", word,
                          verb != NULL ? verb->name : "", verb != NULL ? " " : "");
    }
    char *field = (char *)cli + o->offset;
    if (o->metavar == NULL) {
        if (equals != NULL) {
            return cm_err_set(err, CM_ERR_REFUSE, "%s takes no value", o->name);
        }
        *(bool *)field = true;
        return 0;
    }
    const char *value = equals != NULL ? equals + 1 : argv[*i + 1];
    if (value == NULL || value[0] == '\0') {
        return cm_err_set(err, CM_ERR_REFUSE, "%s needs a value: %s %s", o->name,
                          o->name, o->metavar);
    }
    *i += equals == NULL;
    *(const char **)field = value;
    return 0;
}

/* "registrations sometimes": the first word is a verb, and begins others. */
static bool is_wrong_second(const struct op_verb *verb, int words, int count,
                            char **argv)
{
    size_t n = strlen(verb->name);

    if (words > 1 || count < 2 || argv[1][0] == '-' || verb->args[0] != '\0') {
        return false;
    }
    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        if (strncmp(v->name, verb->name, n) == 0 && v->name[n] == ' ') {
            return true;
        }
    }
    return false;
}

/* Options may stand before the verb; those with a value must not be taken for it. */
static int find_verb(int argc, char **argv, int *at_r, int *words_r,
                     const struct op_verb **verb_r, const char **group_r,
                     struct cm_err *err)
{
    *verb_r = NULL;
    *group_r = NULL;
    *at_r = argc;
    *words_r = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') {
            const struct op_option *o = find_option(argv[i], strlen(argv[i]));
            i += o != NULL && o->metavar != NULL;
            continue;
        }
        *at_r = i;
        for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
            *words_r = match_verb(v, argc - i, argv + i);
            if (*words_r > 0 && is_wrong_second(v, *words_r, argc - i, argv + i)) {
                return wrong_in_group(v->name, argv[i + 1], err);
            }
            if (*words_r > 0) {
                *verb_r = v;
                return 0;
            }
        }
        *group_r = is_group(argv[i]) ? argv[i] : NULL;
        *words_r = 1;
        return *group_r == NULL ? unknown_verb(argv[i], err)
               : i + 1 < argc && argv[i + 1][0] != '-'
                   ? wrong_in_group(*group_r, argv[i + 1], err)
                   : 0;
    }
    return 0;
}

static int check_args(const struct op_cli *cli, const struct op_verb *verb,
                      struct cm_err *err)
{
    size_t wanted = verb->args[0] != '\0';

    for (const char *p = verb->args; (p = strchr(p, ' ')) != NULL; p++) {
        wanted++;
    }
    if (cli->help || cli->version || cli->arg_count == wanted) {
        return 0;
    }
    return cm_err_set(err, CM_ERR_REFUSE, "usage: chatops %s%s%s [options]", verb->name,
                      wanted > 0 ? " " : "", verb->args);
}

int op_cli_parse(int argc, char **argv, struct op_cli *cli_r,
                 const struct op_verb **verb_r, struct cm_err *err)
{
    struct op_cli cli = {.config = NULL};
    const struct op_verb *verb;
    int at, words;

    if (find_verb(argc, argv, &at, &words, &verb, &cli.group, err) != 0) {
        return -1;
    }
    for (int i = 1; i < argc; i++) {
        if (i == at) {
            i += words - 1;
        } else if (argv[i][0] == '-' && argv[i][1] != '\0') {
            if (take_option(&cli, verb, argv, &i, err) != 0) {
                return -1;
            }
        } else if (cli.arg_count == 2) {
            return cm_err_set(err, CM_ERR_REFUSE, "too many words: \"%s\"", argv[i]);
        } else {
            cli.args[cli.arg_count++] = argv[i];
        }
    }
    if (verb != NULL && check_args(&cli, verb, err) != 0) {
        return -1;
    }
    if (cli.group != NULL && !cli.help && !cli.version) {
        return wrong_in_group(cli.group, NULL, err);
    }
    if (cli.config == NULL) {
        const char *env = getenv("CHATMAIL_INI");
        cli.config = env != NULL && env[0] != '\0' ? env : "chatmail.ini";
    }
    *cli_r = cli;
    *verb_r = verb;
    return 0;
}
