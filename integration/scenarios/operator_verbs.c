/* The operator's verbs against the deployed cluster: each says its --json in the one
 * envelope of docs/json.md, with the right exit status; without a terminal no colours
 * and no line past 80 columns, on one neither; test, bench and log do what they
 * promise. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cluster.h"
#include "verb.h"

#define CHECKS_MIN 28 /* of one gateway; the operator has no IPv6 */
#define TIMINGS    8
#define BASE       "/run/verbs-base.json"
#define CLIENT     "198.51.100.101" /* as the gateways see node client */

struct call {
    const char *verb;  /* as the envelope names it; NULL: a line not understood */
    const char *words; /* all of the line */
    int status;
    bool slow; /* not played when the stage is quick */
};

static const struct call calls[] = {
    {"gateway list", "gateway list", 0, false},
    {"gateway render", "gateway render edge1", 0, false},
    {"gateway render", "gateway render edge1 --pf", 0, true},
    {"gateway render", "gateway render nobody", 2, false},
    {"gateway drain", "gateway drain edge1 --for 0", 0, true},
    {"gateway resume", "gateway resume edge1", 0, true},
    {"gateway hold", "gateway hold edge1", 0, true},
    {"gateway off", "gateway off edge1", 0, true},
    {"gateway resume", "gateway resume edge1", 0, true},
    {"gateway drain", "gateway drain nobody", 2, false},
    {"gateway resume", "gateway resume nobody", 2, false},
    {"gateway hold", "gateway hold nobody", 2, false},
    {"gateway off", "gateway off nobody", 2, false},
    {"gateway remove", "gateway remove nobody", 2, false},
    {"gateway rotate", "gateway rotate edge1 nobody", 2, false},
    {"gateway rotate", "gateway rotate edge1 edge1", 2, true},
    {"gateway invite", "gateway invite edge9 --for 1h", 0, true},
    {"gateway accept", "gateway accept edge9", 1, true},
    {"gateway reject", "gateway reject edge9", 0, true},
    {"gateway add", "gateway add edge1 --ssh root@198.51.100.11", 0, true},
    {"gateway add", "gateway add edge1", 2, false},
    {"gateway add", "gateway add edge1 --ssh root@203.0.113.12", 2, false},
    {"init", "init _chat.example", 1, false},
    {"init", "init no_domain", 2, false},
    {"run", "run --dry-run", 0, true},
    {"run", "run --yes --website-only", 0, true},
    {"run", "run --yes --only edge1", 0, true},
    {"run", "run --only nobody", 2, false},
    {"run", "run --website-only --only store", 2, false},
    {"status", "status --no-probe --all", 0, false},
    {"status", "status", 0, true},
    {"status", "status --config none.ini", 1, true},
    {"dns", "dns", 0, false},
    {"dns", "dns --form", 0, true},
    {"dns", "dns --zonefile /run/zone", 0, true},
    {"dns", "dns --apply", 1, false},
    {"test", "test --gateway nobody", 2, false},
    {"bench", "bench --gateway nobody", 2, false},
    {"log", "log --since yesterday-ish", 2, false},
    {"log", "log --node nobody", 2, false},
    {"webdev", "webdev --once --out /run/www", 0, true},
    {"registrations", "registrations", 0, false},
    {"registrations closed", "registrations closed", 0, true},
    {"registrations invite", "registrations invite", 0, true},
    {"registrations open", "registrations open", 0, true},
    {"registrations invite", "registrations invite --count 2 --days 1", 0, true},
    {"registrations revoke", "registrations revoke 2000000000", 2, true},
    {"registrations invite", "registrations invite --count many", 2, true},
    {"ban", "ban 8.8.4.4 --for 1m", 0, true},
    {"unban", "unban 8.8.4.4", 0, true},
    {"ban", "ban 8.8.4", 2, false},
    {"bans", "bans", 0, false},
    {"bans", "bans --pf", 0, true},
    {"completion", "completion bash", 0, false},
    {"completion", "completion fish", 2, false},
    {"run", "run --help", 0, false},
    {NULL, "--version", 0, false},
    {NULL, "--help", 0, false},
    {NULL, "stauts", 2, false},
    {NULL, "run --bogus", 2, false},
    {NULL, "run too many words", 2, false},
    {NULL, "gateway drain", 2, false},
};

static int all_in_json(struct stage *stage, struct cm_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        const struct call *c = &calls[i];
        if (!(c->slow && stage->quick)) {
            n++;
            if (verb_json(stage, c->verb, c->words, c->status, NULL, NULL, err) != 0) {
                return -1;
            }
        }
    }
    stage_note(stage, "%zu calls in JSON", n);
    return 0;
}

/* What is read as it stands, here and there with an end that is not well. A zone file
 * or the text for nft is not for reading, and as wide as it must be. */
static int all_on_screens(struct stage *stage, struct cm_err *err)
{
    static const struct call screens[] = {
        {"", "gateway list", 0, false},
        {"", "run --dry-run", 0, true},
        {"", "status --all --no-probe", 0, false},
        {"", "dns", 0, true},
        {"", "registrations", 0, false},
        {"", "bans", 0, true},
        {"", "log --since 5m --grep nothing-has-this", 0, true},
        {"", "--help", 0, true},
        {"", "gateway add edge1 --ssh root@198.51.100.11", 0, true},
        {"", "status --config none.ini", 1, true},
        {"", "gateway drain nobody", 2, false},
        {"", "stauts", 2, false},
    };
    for (size_t i = 0; i < sizeof screens / sizeof screens[0]; i++) {
        const struct call *c = &screens[i];
        if (!(c->slow && stage->quick) &&
            verb_plain(stage, c->words, c->status, NULL, err) != 0) {
            return -1;
        }
    }
    return verb_terminal(stage, "status --no-probe", 0, err) != 0 ||
                   verb_terminal(stage, "gateway drain nobody", 2, err) != 0 ||
                   (!stage->quick && verb_terminal(stage, "run --dry-run", 0, err) != 0)
               ? -1
               : 0;
}

/* ---- test ---- */

/* Is a check of that name among them, and well? */
static bool has_check(const json_t *checks, const char *name)
{
    size_t i;
    const json_t *row;
    json_array_foreach(checks, i, row)
    {
        const char *said = json_string_value(json_object_get(row, "check"));
        const char *result = json_string_value(json_object_get(row, "result"));
        if (said != NULL && strcmp(said, name) == 0 && result != NULL &&
            strcmp(result, "ok") == 0) {
            return true;
        }
    }
    return false;
}

/* The lab lets its users send more than the check would try. */
static int limit_senders(struct stage *stage, struct cm_err *err)
{
    return scenario_ini_keep(stage, err) != 0 ||
                   scene_sh(&stage->scene, "operator", 120, NULL, err,
                            "cd " CLUSTER_DIR
                            " && sed -i '/^max_user_send_/d' " CLUSTER_INI
                            " && chatops run --yes --only store") != 0
               ? -1
               : 0;
}

static int tested(struct stage *stage, struct cm_err *err)
{
    json_t *data = NULL;
    if (limit_senders(stage, err) != 0 ||
        verb_json(stage, "test", "test --gateway edge2 --second " SCENE_RELAY2, 0,
                  &data, NULL, err) != 0 ||
        scenario_ini_back(stage, err) != 0) {
        json_decref(data);
        return -1;
    }
    const json_t *checks = json_object_get(data, "checks");
    size_t n = json_array_size(checks);
    long long wrong = (long long)json_integer_value(json_object_get(data, "wrong"));
    bool rate = has_check(checks, "rate"), second = has_check(checks, "second");
    json_decref(data);
    stage_note(stage, "%zu checks", n);
    return n >= CHECKS_MIN && wrong == 0 && rate && second
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE,
                            "test: %zu checks, %lld wrong; rate %s, second %s", n,
                            wrong, rate ? "ok" : "not", second ? "ok" : "not");
}

/* ---- bench ---- */

static int timings_of(const json_t *data, struct cm_err *err)
{
    const char *name;
    json_t *row;
    size_t good = 0;
    json_object_foreach(json_object_get(data, "timings"), name, row)
    {
        good += json_real_value(json_object_get(row, "median")) > 0;
    }
    size_t units = json_object_size(json_object_get(data, "memory"));
    return good == TIMINGS && units > 5
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "bench: %zu timings, %zu services",
                            good, units);
}

/* Saved, and the next one stands beside it. */
static int timed(struct stage *stage, struct cm_err *err)
{
    json_t *data = NULL;
    char *said = NULL;
    if (verb_json(stage, "bench", "bench --quick --gateway edge1 --save " BASE, 0,
                  &data, NULL, err) != 0) {
        return -1;
    }
    int rc = timings_of(data, err);
    json_decref(data);
    if (rc != 0 || stage->quick) {
        return rc;
    }
    if (verb_plain(stage, "bench --quick --gateway edge1 --baseline " BASE, 0, &said,
                   err) != 0) {
        return -1;
    }
    size_t ratios = 0;
    for (const char *p = said; (p = strstr(p, "x\n")) != NULL; p++) {
        ratios += p > said && p[-1] >= '0' && p[-1] <= '9';
    }
    if (ratios < TIMINGS) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "bench --baseline: %zu ratios: %.900s",
                        ratios, said);
    }
    free(said);
    return rc;
}

#define ACCOUNTS                                                                       \
    "runuser -u postgres -- psql -qtAX -d chatmail -c 'select count(*) from account'"

/* Ctrl-C in the middle: the verb ends soon, and leaves no account. */
static int broken_off(struct stage *stage, const char *words, struct cm_err *err)
{
    char *before = NULL, *after = NULL, *said = NULL;
    if (scene_sh(&stage->scene, "store", 0, &before, err, ACCOUNTS) != 0) {
        return -1;
    }
    int status =
        stage_ask(stage, "operator", NULL, &said, err,
                  "cd " CLUSTER_DIR
                  "; timeout --foreground --preserve-status -s INT 3 chatops %s 2>&1",
                  words);
    int rc = status < 0 ? -1 : 0;
    if (rc == 0 &&
        (status != 130 || strstr(said, "taking the accounts away") == NULL)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "%s broken off: status %d: %.600s", words,
                        status, said);
    }
    if (rc == 0 &&
        (rc = scene_sh(&stage->scene, "store", 0, &after, err, ACCOUNTS)) == 0 &&
        strcmp(before, after) != 0) {
        rc =
            cm_err_set(err, CM_ERR_REFUSE, "%s broken off: accounts before %s after %s",
                       words, before, after);
    }
    free(before);
    free(after);
    free(said);
    return rc;
}

/* ---- log ---- */

/* Each mail address of ours is blanked, and no client's address stands there. */
static int nobody_in(const char *lines, size_t *blanked_r, struct cm_err *err)
{
    static const char domain[] = "@" SCENE_DOMAIN;
    *blanked_r = 0;
    for (const char *p = lines; (p = strstr(p, domain)) != NULL; p++) {
        if (p == lines || p[-1] != ']') {
            return cm_err_set(err, CM_ERR_REFUSE, "log shows an address: %.80s",
                              p - lines > 30 ? p - 30 : p);
        }
        ++*blanked_r;
    }
    const char *client = strstr(lines, SCENE_HOME_PUBLIC);
    client = client != NULL ? client : strstr(lines, CLIENT);
    return client == NULL ? 0
                          : cm_err_set(err, CM_ERR_REFUSE, "log shows a client: %.120s",
                                       client - lines > 60 ? client - 60 : client);
}

/* A quick stage changes nothing on gateways: they may have nothing to tell. */
static int in_order(const char *lines, size_t nodes_min, struct cm_err *err)
{
    char before[40] = "", nodes[400] = "";
    size_t kinds = 0;
    for (const char *l = lines; *l == '{'; l += strcspn(l, "\n") + 1) {
        json_t *o = json_loads(l, JSON_DISABLE_EOF_CHECK, NULL);
        const char *time = json_string_value(json_object_get(o, "time"));
        const char *node = json_string_value(json_object_get(o, "node"));
        int rc =
            time == NULL || strcmp(time, before) >= 0
                ? 0
                : cm_err_set(err, CM_ERR_REFUSE, "log: %s behind %s", time, before);
        if (time != NULL && node != NULL) {
            snprintf(before, sizeof before, "%s", time);
            if (strstr(nodes, node) == NULL) {
                kinds++;
                snprintf(nodes + strlen(nodes), sizeof nodes - strlen(nodes), " %s",
                         node);
            }
        }
        json_decref(o);
        if (rc != 0) {
            return -1;
        }
    }
    return kinds >= nodes_min
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "log has lines of%s only",
                            nodes[0] != '\0' ? nodes : " nobody");
}

/* The journals are full of the accounts of `bench` by now: none may be seen. */
static int logged(struct stage *stage, struct cm_err *err)
{
    char *lines = NULL;
    json_t *data = NULL;
    size_t blanked = 0;
    if (verb_json(stage, "log", "log --since 5m", 0, &data, &lines, err) != 0) {
        return -1;
    }
    long long n = (long long)json_integer_value(json_object_get(data, "lines"));
    int rc = nobody_in(lines, &blanked, err) != 0 ||
                     in_order(lines, stage->quick ? 1 : 3, err) != 0
                 ? -1
                 : 0;
    if (rc == 0 && (n < 100 || blanked < 10)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "log: %lld lines, %zu addresses blanked", n,
                        blanked);
    }
    free(lines);
    json_decref(data);
    return rc;
}

/* One node, one unit, one word: nothing else. */
static int filtered(struct stage *stage, struct cm_err *err)
{
    char *lines = NULL;
    if (verb_json(stage, "log",
                  "log --since 5m --node store --unit 'postfix*' --grep status=sent", 0,
                  NULL, &lines, err) != 0) {
        return -1;
    }
    int rc = 0;
    size_t n = 0;
    for (const char *l = lines; rc == 0 && strncmp(l, "{\"event\"", 8) == 0;
         l += strcspn(l, "\n") + 1, n++) {
        size_t len = strcspn(l, "\n");
        if (memmem(l, len, "\"node\":\"store\"", 14) == NULL ||
            memmem(l, len, "status=sent", 11) == NULL ||
            memmem(l, len, "\"from\":\"postfix", 15) == NULL) {
            rc = cm_err_set(err, CM_ERR_REFUSE, "log, filtered: %.*s", (int)len, l);
        }
    }
    free(lines);
    return rc != 0 || n > 0
               ? rc
               : cm_err_set(err, CM_ERR_REFUSE, "log, filtered, has no line");
}

/* As the package installs them. */
static int installed(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "operator", 20, NULL, err,
                    "chatops completion bash | bash -n &&"
                    " dpkg -L portico-chatops | grep -q man1/chatops.1 &&"
                    " dpkg -L portico-chatops | grep -q completions/chatops");
}

/* On bash's own terms: what it offers behind what was typed. */
static int completed(struct stage *stage, struct cm_err *err)
{
    static const char script[] =
        "source <(chatops completion bash)\n"
        "offer() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=();\n"
        "  $(complete -p chatops | sed 's/.*-F \\([^ ]*\\).*/\\1/') chatops \"${@: "
        "-1}\""
        " \"${@: -2:1}\"; echo \" ${COMPREPLY[*]} \"; }\n"
        "cd " CLUSTER_DIR "\n"
        "offer chatops gateway dr | grep -q ' drain ' || echo verb\n"
        "offer chatops gateway drain ed | grep -q ' edge1 ' || echo gateway\n"
        "offer chatops run --dry | grep -q -- ' --dry-run ' || echo option\n";
    char *said = NULL;
    int status = stage_ask(stage, "operator", script, &said, err, "bash -s");
    if (status == 0 && said[0] != '\0') {
        status = cm_err_set(err, CM_ERR_REFUSE, "completion lacks: %.300s", said);
    }
    free(said);
    return status == 0 ? 0 : -1;
}

/* Whoever looks at the cluster while a run is under way does not disturb it. */
static int beside(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(
        stage, "operator", NULL, &said, err,
        "cd " CLUSTER_DIR "; chatops run --yes --only store >/run/beside 2>&1 & p=$!\n"
        "while kill -0 $p 2>/dev/null; do chatops gateway list >/dev/null || exit 2;"
        " done\nwait $p || { tail -n 3 /run/beside; exit 1; }");
    if (status > 0) {
        status = cm_err_set(err, CM_ERR_REFUSE, "a run beside gateway list: %d: %.400s",
                            status, said);
    }
    free(said);
    return status;
}

int scenario_operator_verbs(struct stage *stage, struct cm_err *err)
{
    return all_in_json(stage, err) != 0 || all_on_screens(stage, err) != 0 ||
                   (!stage->quick &&
                    (beside(stage, err) != 0 || tested(stage, err) != 0)) ||
                   timed(stage, err) != 0 || broken_off(stage, "test", err) != 0 ||
                   broken_off(stage, "bench", err) != 0 || logged(stage, err) != 0 ||
                   filtered(stage, err) != 0 || installed(stage, err) != 0 ||
                   completed(stage, err) != 0
               ? -1
               : 0;
}

int scenario_operator_verbs_back(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(stage, "operator", NULL, &said, err,
                           "cd " CLUSTER_DIR " && { chatops gateway reject edge9;"
                           " chatops unban 8.8.4.4; chatops registrations open;"
                           " rm -f " BASE "; chatops gateway resume edge1; } 2>&1");
    if (status > 0) {
        status = cm_err_set(err, CM_ERR_WORLD, "resume: %.300s", said);
    }
    free(said);
    return status == 0 ? scenario_ini_back(stage, err) : status;
}
