/* The operator's verbs against the deployed cluster: each says its --json in the one
 * envelope of docs/json.md; test, bench and log do what they promise. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cluster.h"

#define CHECKS_MIN 28 /* of one gateway; the operator has no IPv6 */
#define TIMINGS    8

/* Runs the verb with --json: the last line, which must be its envelope with that exit
 * status. lines_r (may be NULL): all that was said. */
static int ask(struct stage *stage, const char *verb, const char *words,
               json_t **data_r, char **lines_r, struct cm_err *err)
{
    char line[200], *said = NULL;
    snprintf(line, sizeof line, "%s %s --json", verb, words);
    int status = cluster_chatops(stage, CLUSTER_INI, line, &said, err);
    if (status < 0) {
        return -1;
    }
    char *last = strstr(said, "{\"chatops\":");
    json_t *e = json_loads(last != NULL ? last : "", JSON_DISABLE_EOF_CHECK, NULL);
    const char *named = json_string_value(json_object_get(e, "verb"));
    int rc = 0;
    if (named == NULL || strcmp(named, verb) != 0 || status != 0 ||
        json_integer_value(json_object_get(e, "exit")) != status) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "chatops %s: status %d: %.600s", line,
                        status, last != NULL ? last : said);
    } else if (data_r != NULL) {
        *data_r = json_incref(json_object_get(e, "data"));
    }
    if (rc == 0 && lines_r != NULL) {
        *lines_r = said;
    } else {
        free(said);
    }
    json_decref(e);
    return rc;
}

static int all_answer(struct stage *stage, struct cm_err *err)
{
    static const char *const verbs[] = {"gateway list", "registrations", "bans",
                                        "completion"};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        json_t *data = NULL;
        if (ask(stage, verbs[i], strcmp(verbs[i], "completion") == 0 ? "bash" : "",
                &data, NULL, err) != 0) {
            return -1;
        }
        bool object = json_is_object(data);
        json_decref(data);
        if (!object) {
            return cm_err_set(err, CM_ERR_REFUSE, "chatops %s: no data", verbs[i]);
        }
    }
    return 0;
}

static int tested(struct stage *stage, struct cm_err *err)
{
    json_t *data = NULL;
    if (ask(stage, "test", "--gateway edge2", &data, NULL, err) != 0) {
        return -1;
    }
    size_t checks = json_array_size(json_object_get(data, "checks"));
    long long wrong = (long long)json_integer_value(json_object_get(data, "wrong"));
    stage_note(stage, "%zu checks", checks);
    json_decref(data);
    return checks >= CHECKS_MIN && wrong == 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "test: %zu checks, %lld wrong", checks,
                            wrong);
}

static int timed(struct stage *stage, struct cm_err *err)
{
    json_t *data = NULL, *row;
    const char *name;
    size_t good = 0;
    if (ask(stage, "bench", "--quick --gateway edge1", &data, NULL, err) != 0) {
        return -1;
    }
    json_object_foreach(json_object_get(data, "timings"), name, row)
    {
        good += json_real_value(json_object_get(row, "median")) > 0;
    }
    size_t units = json_object_size(json_object_get(data, "memory"));
    json_decref(data);
    return good == TIMINGS && units > 5
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "bench: %zu timings, %zu services",
                            good, units);
}

/* The journals are full of the accounts of `test` by now: none may be seen. */
static int logged(struct stage *stage, struct cm_err *err)
{
    static const char domain[] = "@" SCENE_DOMAIN;
    char *lines = NULL;
    json_t *data = NULL;
    size_t blanked = 0;
    if (ask(stage, "log", "--since 3m", &data, &lines, err) != 0) {
        return -1;
    }
    long long n = (long long)json_integer_value(json_object_get(data, "lines"));
    int rc = 0;
    for (const char *p = strstr(lines, domain); p != NULL && rc == 0;
         p = strstr(p + 1, domain)) {
        blanked += p > lines && p[-1] == ']';
        if (p > lines && p[-1] != ']') {
            rc = cm_err_set(err, CM_ERR_REFUSE, "log shows an address: %.80s", p - 30);
        }
    }
    free(lines);
    json_decref(data);
    if (rc == 0 && (n < 100 || blanked < 10)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "log: %lld lines, %zu addresses blanked", n,
                        blanked);
    }
    return rc;
}

/* As the package installs them. */
static int installed(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "operator", 20, NULL, err,
                    "chatops completion bash | bash -n &&"
                    " dpkg -L portico-chatops | grep -q man1/chatops.1 &&"
                    " dpkg -L portico-chatops | grep -q completions/chatops");
}

int scenario_operator_verbs(struct stage *stage, struct cm_err *err)
{
    return all_answer(stage, err) != 0 || tested(stage, err) != 0 ||
                   timed(stage, err) != 0 || logged(stage, err) != 0 ||
                   installed(stage, err) != 0
               ? -1
               : 0;
}
