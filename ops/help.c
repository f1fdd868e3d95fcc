/* The texts of --help, from the tables of cli.h. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "common/buf.h"
#include "common/mem.h"
#include "wrap.h"

#define HELP_MAX     (64 * 1024)
#define COLUMN       22 /* where the explanations begin */
#define BRIEF_COLUMN 34 /* and in a list of verbs */

static void put_entry(struct cm_buf *b, const char *left, const char *text)
{
    cm_buf_fmt(b, "  %-*s", COLUMN - 2, left);
    if (strlen(left) + 3 > COLUMN) {
        cm_buf_fmt(b, "\n%*s", COLUMN, "");
    }
    op_wrap(b, text, COLUMN, COLUMN);
    cm_buf_str(b, "\n");
}

static void put_option(struct cm_buf *b, const struct op_option *o)
{
    char *left = cm_asprintf(
        "%s%s%s%s%s", o->letter != NULL ? o->letter : "", o->letter != NULL ? ", " : "",
        o->name, o->metavar != NULL ? " " : "", o->metavar != NULL ? o->metavar : "");
    put_entry(b, left, o->help);
    free(left);
}

static void put_verb(struct cm_buf *b, const struct op_verb *v)
{
    cm_buf_fmt(b, "usage: chatops %s%s%s [options]\n\n", v->name,
               v->args[0] != '\0' ? " " : "", v->args);
    op_wrap(b, v->help, 0, 0);
    cm_buf_str(b, "\n");
    cm_buf_str(b, "\noptions:\n");
    for (const struct op_option *o = op_options; o->name != NULL; o++) {
        if (o->common || op_cli_takes(v, o)) {
            put_option(b, o);
        }
    }
}

/* Those of the group (all: NULL), a line each. */
static void put_briefs(struct cm_buf *b, const char *group)
{
    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        if (group != NULL && !op_cli_in_group(v, group)) {
            continue;
        }
        char *left = cm_asprintf("%s %s", v->name, v->args);
        cm_buf_fmt(b, "  %-*s %s\n", BRIEF_COLUMN - 3, left, v->brief);
        free(left);
    }
}

static void put_group(struct cm_buf *b, const char *group)
{
    cm_buf_fmt(b, "verbs of chatops that begin with %s:\n", group);
    put_briefs(b, group);
    cm_buf_fmt(b, "\n\"chatops %s VERB --help\" explains one.\n", group);
}

static void put_overview(struct cm_buf *b)
{
    cm_buf_str(b, "usage: chatops VERB [options]\n\n");
    op_wrap(b,
            "Sets up and looks after a chatmail relay whose gateways have the public "
            "addresses and whose store has the mail, from your own machine over SSH. "
            "chatmail.ini says what there shall be.",
            0, 0);
    cm_buf_str(b, "\n\nfirst steps:\n"
                  "  chatops init chat.example.org --ssh root@192.168.1.20\n"
                  "  chatops gateway add edge1 --ssh root@198.51.100.11\n"
                  "  chatops dns\n\nverbs:\n");
    put_briefs(b, NULL);
    cm_buf_str(b, "\noptions of every verb:\n");
    for (const struct op_option *o = op_options; o->name != NULL; o++) {
        if (o->common) {
            put_option(b, o);
        }
    }
    cm_buf_str(b,
               "\n\"chatops VERB --help\" explains a verb; chatops(1) explains all.\n"
               "Exit: 0 well, 1 failed or something is wrong, 2 usage, 130 "
               "interrupted.\n");
}

char *op_cli_help(const struct op_verb *verb, const char *group)
{
    struct cm_buf b;

    cm_buf_init(&b, HELP_MAX);
    if (verb != NULL) {
        put_verb(&b, verb);
    } else if (group != NULL) {
        put_group(&b, group);
    } else {
        put_overview(&b);
    }
    return cm_buf_steal(&b);
}
