#include "zoo.h"

#include <jansson.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"

#define INI      "zoo.ini"
#define CA       "zoo-ca.pem"
#define MARK     "; zoo" /* behind each line of ours in the lab's own zones */
#define ACCOUNT  "/var/lib/chatmail-acme/account"
#define CA_NAME  "ca.zoo.example"
#define TEXT_MAX (256 * 1024)
#define COLUMNS  80

static const char *const doors[ZOO_DOORS] = {ZOO_DOOR_1, ZOO_DOOR_2, ZOO_DOOR_3};

/* edge1 has two addresses of one family. */
static const char ini_script[] =
    "cd " CLUSTER_DIR " && sed -e 's/^mail_domain *=.*/mail_domain = chat.zoo.example/'"
    " -e 's/^addresses *= *198.*/addresses = 198.51.100.58 198.51.100.61"
    " 2001:db8:1::58/'"
    " -e 's/^addresses *= *203.*/addresses = 198.51.100.59 2001:db8:1::59/'"
    " " CLUSTER_INI " >" INI " && cat >" CA;

static const char delegate_script[] =
    "cd /etc/nsd/zones && sed -i '/" MARK "$/d' *.zone && cat >/run/zoo.records &&"
    " ptr() { grep -F \"$1\" /run/zoo.records | sed -e 's/^; //' -e 's/$/ " MARK
    "/'; } &&"
    " ptr in-addr.arpa. >>100.51.198.in-addr.arpa.zone &&"
    " ptr ip6.arpa. >>8.b.d.0.1.0.0.2.ip6.arpa.zone &&"
    " for l in 'zoo NS ns1.zoo' 'zoo NS ns2.zoo' 'ns1.zoo A " NS_ONE "'"
    " 'ns2.zoo A " NS_TWO "'; do echo \"$l " MARK "\"; done >>example.zone &&"
    " systemctl reset-failed nsd; systemctl restart nsd &&"
    " unbound-control -q flush_zone .";

/* ---- set-up ---- */

static int feed(struct stage *stage, const char *node, const char *input,
                const char *script, struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(stage, node, input, &said, err, "%s", script);
    if (status > 0) {
        status = cm_err_set(err, CM_ERR_WORLD, "%s: %.400s", node, said);
    }
    free(said);
    return status;
}

static int make_cert(struct zoo *zoo, char **pem_r, struct cm_err *err)
{
    static const char script[] =
        "umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
        " -nodes -keyout \"$1\" -out \"$1.crt\" -days 2 -subj /CN=zoo"
        " -addext subjectAltName=DNS:mta-sts.chat.zoo.example 2>&1 &&"
        " cat \"$1.crt\" >>\"$1\" && rm \"$1.crt\" && openssl x509 -in \"$1\"";
    snprintf(zoo->cert, sizeof zoo->cert, "/tmp/zoo-%ld.pem", (long)getpid());
    const char *argv[] = {"sh", "-ec", script, "sh", zoo->cert, NULL};
    return cm_run_ok(&(struct cm_run){.argv = argv}, pem_r, err);
}

const char zoo_good_policy[] = "version: STSv1\r\nmode: enforce\r\n"
                               "mx: chat.zoo.example\r\nmax_age: 604800\r\n";

int zoo_policy(struct zoo *zoo, size_t door, const char *policy, struct cm_err *err)
{
    nameserver_stop(&zoo->policies[door]);
    if (policy != NULL) {
        zoo->policies[door] =
            nameserver_policy(zoo->stage, doors[door], zoo->cert, policy, err);
    }
    return policy == NULL || zoo->policies[door] != NULL ? 0 : -1;
}

int zoo_open(struct stage *stage, struct zoo *zoo_r, struct cm_err *err)
{
    struct zoo zoo = {.stage = stage};
    char *pem = NULL;
    int rc = make_cert(&zoo, &pem, err);
    if (rc == 0) {
        rc = feed(stage, "operator", pem, ini_script, err);
    }
    free(pem);
    if (rc == 0) {
        rc = feed(stage, "store", "https://" CA_NAME "/acct/1\n" CA_NAME "\n",
                  "mkdir -p /var/lib/chatmail-acme && cat >" ACCOUNT, err);
    }
    if (rc == 0) {
        rc = zoo_chatops(&zoo, "--zonefile -", &zoo.records, err);
        rc = rc > 0 ? cm_err_set(err, CM_ERR_REFUSE, "%.600s", zoo.records) : rc;
    }
    if (rc == 0) {
        rc = feed(stage, "dns", zoo.records, delegate_script, err);
    }
    for (size_t i = 0; rc == 0 && i < ZOO_DOORS; i++) {
        rc = zoo_policy(&zoo, i, zoo_good_policy, err);
    }
    if (rc != 0) {
        zoo_close(&zoo);
        return -1;
    }
    *zoo_r = zoo;
    return 0;
}

void zoo_close(struct zoo *zoo)
{
    for (size_t i = 0; i < ZOO_DOORS; i++) {
        nameserver_stop(&zoo->policies[i]);
    }
    if (zoo->cert[0] != '\0') {
        unlink(zoo->cert);
    }
    free(zoo->records);
    zoo->records = NULL;
}

int zoo_back(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "dns", 0, NULL, err,
                    "cd /etc/nsd/zones && { ! grep -q '" MARK "$' *.zone || {"
                    " sed -i '/" MARK "$/d' *.zone && systemctl restart nsd &&"
                    " unbound-control -q flush_zone .; }; }") != 0 ||
                   scene_sh(&stage->scene, "store", 0, NULL, err,
                            "! grep -qsF " CA_NAME " " ACCOUNT
                            " || rm " ACCOUNT) != 0 ||
                   scene_sh(&stage->scene, "operator", 0, NULL, err,
                            "cd " CLUSTER_DIR " && rm -f " INI " " CA
                            " zoo-*.key zoo-clock.so"
                            " /var/lib/clockshift") != 0
               ? -1
               : nameserver_addresses_back(stage, err);
}

/* ---- zones ---- */

char *zoo_zone(const struct zoo *zoo, unsigned serial, const char *head,
               const char *drop, const char *more)
{
    struct cm_buf b;
    regex_t pattern;
    cm_assert(regcomp(&pattern, drop != NULL ? drop : "^$", REG_EXTENDED | REG_NOSUB) ==
              0);
    cm_buf_init(&b, TEXT_MAX);
    cm_buf_fmt(&b, "@ SOA ns1 hostmaster %u 3600 600 86400 300\n%s", serial, head);
    for (const char *p = zoo->records; *p != '\0';) {
        char *line = cm_strndup(p, strcspn(p, "\n"));
        if (line[0] != ';' && regexec(&pattern, line, 0, NULL, 0) != 0) {
            cm_buf_fmt(&b, "%s\n", line);
        }
        p += strlen(line);
        p += *p == '\n';
        free(line);
    }
    cm_buf_str(&b, more);
    regfree(&pattern);
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

int zoo_flush(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "dns", 0, NULL, err,
                    "unbound-control -q flush_zone " ZOO_ZONE
                    " && unbound-control -q flush_infra all");
}

/* ---- what chatops says ---- */

int zoo_chatops(struct zoo *zoo, const char *words, char **out_r, struct cm_err *err)
{
    return stage_ask(zoo->stage, "operator", NULL, out_r, err,
                     "cd " CLUSTER_DIR " && SSL_CERT_FILE=" CA
                     " chatops dns --config " INI " %s </dev/null",
                     words);
}

struct said {
    int status;
    char *text;                     /* stderr too */
    char *found, *servers, *policy; /* as zoo_expect() has them */
};

static void said_clear(struct said *said)
{
    free(said->text);
    free(said->found);
    free(said->servers);
    free(said->policy);
    *said = (struct said){.status = -1};
}

static const char *string_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

static char *found_of(const json_t *all)
{
    struct cm_buf b;
    size_t i;
    json_t *o;
    cm_buf_init(&b, TEXT_MAX);
    json_array_foreach(json_object_get(all, "sets"), i, o)
    {
        const char *why = string_of(o, "why");
        if (strcmp(string_of(o, "verdict"), "right") != 0) {
            cm_buf_fmt(&b, "%s %s %s%s%s\n", string_of(o, "type"), string_of(o, "name"),
                       string_of(o, "verdict"), why[0] != '\0' ? ": " : "", why);
        }
    }
    return cm_buf_steal(&b);
}

static char *servers_of(const json_t *all)
{
    struct cm_buf b;
    size_t i;
    json_t *o;
    cm_buf_init(&b, TEXT_MAX);
    json_array_foreach(json_object_get(all, "servers"), i, o)
    {
        if (!json_is_true(json_object_get(o, "answers"))) {
            cm_buf_fmt(&b, "%s\n", string_of(o, "why"));
        } else if (json_is_true(json_object_get(o, "stale"))) {
            cm_buf_fmt(&b, "%s is stale\n", string_of(o, "name"));
        }
    }
    return cm_buf_steal(&b);
}

static char *policy_of(const json_t *all)
{
    struct cm_buf b;
    size_t i;
    json_t *o;
    cm_buf_init(&b, TEXT_MAX);
    json_array_foreach(json_object_get(all, "mta_sts_policy"), i, o)
    {
        if (json_is_true(json_object_get(o, "tried")) &&
            !json_is_true(json_object_get(o, "right"))) {
            cm_buf_fmt(&b, "%s: %s\n", string_of(o, "through"), string_of(o, "why"));
        }
    }
    return cm_buf_steal(&b);
}

static int read_json(const char *text, struct said *said, struct cm_err *err)
{
    json_error_t why;
    json_t *envelope = json_loads(text, 0, &why);
    const json_t *all = json_object_get(envelope, "data");
    if (envelope == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "--json: %s: %.500s", why.text, text);
    }
    said->found = found_of(all);
    said->servers = servers_of(all);
    said->policy = policy_of(all);
    json_decref(envelope);
    return 0;
}

/* A record cannot be broken, nor what is pasted into a form, nor a long string; a
 * warning is one line. */
static int judge_width(const char *text, struct cm_err *err)
{
    for (const char *p = text; *p != '\0';) {
        size_t n = strcspn(p, "\n");
        char *line = cm_strndup(p, n);
        bool record = strstr(line, " IN ") != NULL ||
                      strncmp(line, "v=DKIM1", 7) == 0 ||
                      strncmp(line, "chatops: ", 9) == 0 ||
                      (n > 2 && strchr(line + 2, ' ') == NULL);
        int rc = n > COLUMNS && !record
                     ? cm_err_set(err, CM_ERR_REFUSE, "%zu columns: %.200s", n, line)
                     : 0;
        free(line);
        if (rc != 0) {
            return -1;
        }
        p += n + (p[n] == '\n');
    }
    return 0;
}

static int ask(struct zoo *zoo, const char *words, struct said *said_r,
               struct cm_err *err)
{
    struct said said = {.status = -1};
    char *json = NULL, *all = NULL;
    /* Both at once: time is what a scenario has least of. */
    int status = stage_ask(
        zoo->stage, "operator", NULL, &all, err,
        "cd " CLUSTER_DIR "; export SSL_CERT_FILE=" CA "; d=$(mktemp -d);"
        " chatops dns --config " INI " %s --json >$d/j 2>$d/e </dev/null & p=$!;"
        " chatops dns --config " INI " %s >$d/t 2>&1 </dev/null; s=$?; wait $p; r=$?;"
        " tail -n 1 $d/j; printf '\\001'; cat $d/t; [ $s = $r ] || echo \"statuses $s "
        "$r\";"
        " rm -r $d; exit $s",
        words, words);
    if (status < 0) {
        return -1;
    }
    char *mid = strchr(all, '\001');
    int rc = mid == NULL ? cm_err_set(err, CM_ERR_REFUSE, "%.600s", all) : 0;
    if (rc == 0) {
        json = cm_strndup(all, (size_t)(mid - all));
        said.status = status;
        said.text = cm_strdup(mid + 1);
        rc = read_json(json, &said, err);
    }
    if (rc == 0 && strstr(said.text, "statuses ") != NULL) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "%s", strstr(said.text, "statuses "));
    }
    rc = rc == 0 ? judge_width(said.text, err) : -1;
    free(json);
    free(all);
    if (rc != 0) {
        said_clear(&said);
        return -1;
    }
    *said_r = said;
    return 0;
}

/* "*" is the rest of a line. */
static bool matches(const char *pattern, const char *text)
{
    while (*pattern != '\0') {
        if (*pattern == '*') {
            text += strcspn(text, "\n");
            pattern++;
        } else if (*pattern++ != *text++) {
            return false;
        }
    }
    return *text == '\0';
}

int zoo_expect_now(struct zoo *zoo, const char *words, int status, const char *found,
                   const char *servers, const char *policy, struct cm_err *err)
{
    struct said said;
    if (ask(zoo, words, &said, err) != 0) {
        return -1;
    }
    int rc = 0;
    if (said.status != status || !matches(found, said.found) ||
        !matches(servers, said.servers) || !matches(policy, said.policy)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "status %d; %.300s%.200s%.200s%.200s",
                        said.status, said.servers, said.policy, said.found, said.text);
    }
    said_clear(&said);
    return rc;
}

int zoo_expect(struct zoo *zoo, const char *words, int status, const char *found,
               const char *servers, const char *policy, struct cm_err *err)
{
    return zoo_flush(zoo->stage, err) != 0
               ? -1
               : zoo_expect_now(zoo, words, status, found, servers, policy, err);
}
