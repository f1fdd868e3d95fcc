/* chatops run where nothing is to be done, and where chatmail.ini has a typo. */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "cluster.h"
#include "unit.h"

static const char *last_line(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '\n') {
        text[--n] = '\0';
    }
    char *at = strrchr(text, '\n');
    return at != NULL ? at + 1 : text;
}

static int must_say(const char *said, const char *what, struct cm_err *err)
{
    const char *change = strstr(said, " changed ");
    if (strstr(said, what) != NULL) {
        return 0;
    }
    while (change != NULL && change > said && change[-1] != '\n') {
        change--; /* the step that did something tells more than the beginning */
    }
    return cm_err_set(err, CM_ERR_REFUSE, "chatops did not say '%s': %.500s", what,
                      change != NULL ? change : said);
}

/* Runs chatops between two looks at all units; status and output are the caller's to
 * judge, a restart is an error here. */
static int run_watched(struct stage *stage, const char *ini, const char *words,
                       char **said_r, struct cm_err *err)
{
    char *before = NULL, *after = NULL;
    int status = -1;
    if (units_since(stage, &before, err) == 0) {
        status = cluster_chatops(stage, ini, words, said_r, err);
    }
    if (status >= 0 &&
        (units_since(stage, &after, err) != 0 || units_same(before, after, err) != 0)) {
        free(*said_r);
        status = -1;
    }
    free(before);
    free(after);
    return status;
}

int scenario_run_twice(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = run_watched(stage, CLUSTER_INI, "run --yes", &said, err);
    if (status < 0) {
        return -1;
    }
    int rc = status != 0 ? cm_err_set(err, CM_ERR_REFUSE, "status %d: %.300s", status,
                                      last_line(said))
                         : must_say(said, "nothing to change", err);
    free(said);
    return rc;
}

/* A copy of chatmail.ini with one line put below [params] or a gateway's section; gives
 * the number of that line. */
static int make_typo(struct stage *stage, const char *section, const char *line,
                     long *number_r, struct cm_err *err)
{
    char *text = NULL;
    if (scene_sh(&stage->scene, "operator", 0, &text, err,
                 "cd " CLUSTER_DIR " && key=$(echo '%s' | cut -d' ' -f1) && "
                 "sed \"/^\\[%s\\]/,/^\\[/{/^$key *=/d}\" " CLUSTER_INI
                 " | sed '/^\\[%s\\]/a %s' >typo.ini && grep -n -m1 '^%s$' typo.ini",
                 line, section, section, line, line) != 0) {
        return -1;
    }
    *number_r = strtol(text, NULL, 10);
    free(text);
    return 0;
}

static const struct typo {
    const char *section;
    const char *line;
    const char *key;
    const char *allowed;
} typos[] = {
    {"params", "max_smtp_connections = lots", "max_smtp_connections", "1000000"},
    {"params", "max_mailbox_size = 5x", "max_mailbox_size", "allowed"},
    {"gateway edge1", "mode = actve", "mode", "drain"},
};

static int one_typo(struct stage *stage, const struct typo *typo, struct cm_err *err)
{
    long number = 0;
    char *said = NULL;
    if (make_typo(stage, typo->section, typo->line, &number, err) != 0) {
        return -1;
    }
    int status = run_watched(stage, "typo.ini", "run --yes", &said, err);
    if (status < 0) {
        return -1;
    }
    char *place = cm_asprintf("typo.ini:%ld:", number);
    int rc = status != 1 ? cm_err_set(err, CM_ERR_REFUSE, "status %d, not 1: %.500s",
                                      status, said)
                         : must_say(said, place, err);
    if (rc == 0 && (must_say(said, typo->key, err) != 0 ||
                    must_say(said, typo->allowed, err) != 0)) {
        rc = -1;
    }
    free(place);
    free(said);
    return rc == 0 ? 0 : cm_err_prefix(err, "%s", typo->line);
}

static int unknown_key(struct stage *stage, struct cm_err *err)
{
    static const char line[] = "max_smtp_conections = 5";
    long number = 0;
    char *said = NULL;
    if (make_typo(stage, "params", line, &number, err) != 0) {
        return -1;
    }
    int status = run_watched(stage, "typo.ini", "run --dry-run", &said, err);
    if (status < 0) {
        return -1;
    }
    int rc = status != 0
                 ? cm_err_set(err, CM_ERR_REFUSE, "status %d: %.500s", status, said)
                 : 0;
    if (rc == 0 && (must_say(said, "warning", err) != 0 ||
                    must_say(said, "max_smtp_conections", err) != 0)) {
        rc = -1;
    }
    free(said);
    return rc == 0 ? 0 : cm_err_prefix(err, "%s", line);
}

int scenario_ini_typo(struct stage *stage, struct cm_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof typos / sizeof typos[0]; i++) {
        rc = one_typo(stage, &typos[i], err);
    }
    if (rc == 0) {
        rc = unknown_key(stage, err);
    }
    struct cm_err ignored;
    int gone = scene_sh(&stage->scene, "operator", 0, NULL, &ignored,
                        "rm -f " CLUSTER_DIR "/typo.ini");
    (void)gone; /* nothing reads it again */
    return rc;
}
