/* One gateway shows an expired certificate on a port, another one for another name:
 * somebody sits in between, or it was set up wrongly. chatops status and chatops test
 * say which gateway, address and port, until it is over. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cluster.h"
#include "common/cert.h"
#include "common/mem.h"

#define DIR   "/var/tmp/scenario-wrong"
#define UNIT  "scenario-wrong"
#define TABLE "inet portico_testwrong"
#define PORT  "4433"

/* certificate_r of chatops status, and its lines about certificates. */
struct told {
    int status;
    char line[300];
    char wrong[1200];
};

static const struct impostor {
    const char *node, *address;
    int port;
    const char *name;
    int days;
    const char *status, *test; /* what is said of it */
} impostors[] = {
    {"edge1", "198.51.100.11", 443, SCENE_DOMAIN, -3,
     "edge1 198.51.100.11 port 443: the certificate expired on ",
     "port 443: the certificate expired on "},
    {"edge2", "203.0.113.12", 465, "other.example", 30,
     "edge2 203.0.113.12 port 465: the certificate is for other.example, not "
     "for " SCENE_DOMAIN,
     "port 465: the certificate is for other.example"},
};
#define IMPOSTORS (sizeof impostors / sizeof impostors[0])

/* A server of its own on the gateway, and a rule that comes before all others. */
static int put_up(struct stage *stage, const struct impostor *i, struct cm_err *err)
{
    const char *names[] = {i->name};
    char *key = cm_cert_new_key(), *cert = NULL, *said = NULL;
    int rc = cm_cert_self(key, names, 1, i->days, &cert, err);
    if (rc == 0) {
        char *both = cm_asprintf("%s%s", key, cert);
        rc = stage_ask(
            stage, i->node, both, &said, err,
            "set -e; umask 077; mkdir -p " DIR "; cat >" DIR "/pair.pem; systemd-run -q"
            " --collect --unit=" UNIT " openssl s_server -accept " PORT " -cert " DIR
            "/pair.pem -key " DIR "/pair.pem -quiet; timeout 20"
            " sh -c 'until ss -Hltn sport = :" PORT " | grep -q .; do sleep 0.1; done';"
            " nft -f - <<'E'\n"
            "table " TABLE
            " {\n chain in { type filter hook prerouting priority -310;\n"
            "  ip daddr %s tcp dport %d tcp dport set " PORT "\n }\n"
            " chain out { type filter hook postrouting priority 300;\n"
            "  ip saddr %s tcp sport " PORT " tcp sport set %d\n }\n}\nE",
            i->address, i->port, i->address, i->port);
        if (rc > 0) {
            rc = cm_err_set(err, CM_ERR_WORLD, "%s: %.300s", i->node, said);
        }
        free(both);
    }
    free(said);
    free(cert);
    cm_wipe_str(&key);
    return rc;
}

int scenario_wrong_certificate_back(struct stage *stage, struct cm_err *err)
{
    for (size_t i = 0; i < IMPOSTORS; i++) {
        if (scene_sh(&stage->scene, impostors[i].node, 0, NULL, err,
                     "nft delete table " TABLE " 2>/dev/null; systemctl stop " UNIT
                     " 2>/dev/null; rm -rf " DIR) != 0) {
            return -1;
        }
    }
    return 0;
}

static int ask(struct stage *stage, struct told *told, struct cm_err *err)
{
    char *said = NULL;
    *told = (struct told){
        .status = cluster_chatops(stage, CLUSTER_INI, "status --json", &said, err)};
    if (told->status < 0) {
        return -1;
    }
    json_t *all = json_loads(said, JSON_DISABLE_EOF_CHECK, NULL);
    const json_t *data = json_object_get(all, "data");
    const json_t *wrong = json_object_get(data, "wrong");
    const char *line = json_string_value(json_object_get(data, "certificate"));
    size_t used = 0;
    snprintf(told->line, sizeof told->line, "%s", line != NULL ? line : "");
    for (size_t i = 0; i < json_array_size(wrong); i++) {
        int n = snprintf(told->wrong + used, sizeof told->wrong - used, "%s\n",
                         json_string_value(json_array_get(wrong, i)));
        used += n > 0 && (size_t)n < sizeof told->wrong - used ? (size_t)n : 0;
    }
    json_decref(all);
    free(said);
    return line != NULL ? 0 : cm_err_set(err, CM_ERR_REFUSE, "status says no JSON");
}

static int named_by_status(struct stage *stage, struct cm_err *err)
{
    struct told told;
    if (ask(stage, &told, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < IMPOSTORS; i++) {
        if (strstr(told.wrong, impostors[i].status) == NULL || told.status != 1) {
            return cm_err_set(err, CM_ERR_REFUSE, "exit %d, not \"%s\": %.700s",
                              told.status, impostors[i].status, told.wrong);
        }
    }
    return 0;
}

static int named_by_test(struct stage *stage, const struct impostor *i,
                         struct cm_err *err)
{
    char *said = NULL, words[64];
    snprintf(words, sizeof words, "test --gateway %s --json", i->node);
    int status = cluster_chatops(stage, CLUSTER_INI, words, &said, err);
    if (status < 0) {
        return -1;
    }
    bool named = status == 1 && cluster_says(said, i->test);
    int rc = named ? 0
                   : cm_err_set(err, CM_ERR_REFUSE, "%s: exit %d, not \"%s\": %.500s",
                                words, status, i->test, said);
    free(said);
    return rc;
}

static int is_over(struct stage *stage, struct cm_err *err)
{
    struct told told;
    if (ask(stage, &told, err) != 0) {
        return -1;
    }
    return strstr(told.wrong, "certificate") == NULL
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "afterwards: %.400s", told.wrong);
}

int scenario_wrong_certificate(struct stage *stage, struct cm_err *err)
{
    for (size_t i = 0; i < IMPOSTORS; i++) {
        if (put_up(stage, &impostors[i], err) != 0) {
            return -1;
        }
    }
    if (named_by_status(stage, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < IMPOSTORS && !stage->quick; i++) {
        if (named_by_test(stage, &impostors[i], err) != 0) {
            return -1;
        }
    }
    return scenario_wrong_certificate_back(stage, err) != 0 || is_over(stage, err) != 0
               ? -1
               : 0;
}
