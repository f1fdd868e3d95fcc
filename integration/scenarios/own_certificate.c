/* The operator's own certificate (tls_external_cert_and_key), renewed on the store by
 * something else: by a rename, and by writing into the files. All doors of all gateways
 * show the new one within seconds, and a client in IDLE stays. What is no
 * good is refused and named, and the old one stays. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/mem.h"
#include "door.h"
#include "shown.h"

#define DIR     "/etc/scenario-own" /* on the store */
#define CA      DIR "/ca"
#define INI     "own.ini"
#define TRUSTED "/usr/local/share/ca-certificates/scenario-own.crt"
#define RUN_MS  8000
#define STEP_MS 15000
#define QUICK_S 10 /* "within seconds" */
#define TOLD_S  40 /* three readings; the timer comes before that */

/* A root, one below it, and leafs: `leaf NAME DOMAIN FROM TO` makes NAME.pem, the
 * chain, and NAME.key. Times as openssl ca has them. */
static const char make_ca[] =
    "set -e; umask 077; mkdir -p " CA "; cd " CA "\n"
    "ec='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc'\n"
    "printf '%s\\n' '[ca]' 'default_ca=x' '[x]' 'database=index' 'rand_serial=yes'"
    " 'new_certs_dir=.' 'default_md=sha256' 'policy=p' 'copy_extensions=copy'"
    " 'unique_subject=no' '[p]' 'commonName=supplied' '[top]'"
    " 'basicConstraints=critical,CA:TRUE' >conf; : >index\n"
    "openssl req -x509 $ec -days 30 -subj '/CN=scenario root' -keyout root.key"
    " -out root.pem -addext keyUsage=critical,keyCertSign 2>&1\n"
    "openssl req $ec -subj '/CN=scenario sub' -keyout sub.key -out sub.csr 2>&1\n"
    "openssl ca -batch -notext -config conf -cert root.pem -keyfile root.key"
    " -extensions top -days 20 -in sub.csr -out sub.pem 2>&1\n"
    "cat >leaf <<'E'\n"
    "set -e; umask 077; cd " CA "\n"
    "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=$2"
    " -addext subjectAltName=DNS:$2,DNS:www.$2,DNS:mta-sts.$2 -keyout $1.key"
    " -out $1.csr 2>&1\n"
    "openssl ca -batch -notext -config conf -cert sub.pem -keyfile sub.key"
    " -startdate $(date -u -d \"$3\" +%y%m%d%H%M%SZ)"
    " -enddate $(date -u -d \"$4\" +%y%m%d%H%M%SZ) -in $1.csr -out $1.crt 2>&1\n"
    "cat $1.crt sub.pem >$1.pem\n"
    "E\n"
    "cat root.pem >" TRUSTED "; update-ca-certificates >/dev/null";

#define LEAF "sh " CA "/leaf "
#define PRINT                                                                          \
    "openssl x509 -noout -fingerprint -sha256 -in " CA "/%s.crt | sed 's/.*=//; "      \
    "s/://g'"
#define RENAME                                                                         \
    "cd " DIR "; cp ca/$1.pem cert.new; cp ca/$1.key key.new; mv cert.new "            \
    "cert.pem; mv key.new key.pem"
#define WRITE "cd " DIR "; cat ca/$1.pem >cert.pem; cat ca/$1.key >key.pem"

static int on_store(struct stage *stage, struct cm_err *err, const char *command)
{
    return scene_sh(&stage->scene, "store", 60, NULL, err, "%s", command);
}

static int print_of(struct stage *stage, const char *name, char print[SHOWN_PRINT],
                    struct cm_err *err)
{
    char *said = NULL;
    if (scene_sh(&stage->scene, "store", 0, &said, err, PRINT, name) != 0) {
        return -1;
    }
    snprintf(print, SHOWN_PRINT, "%.64s", said);
    print[strcspn(print, "\n")] = '\0';
    free(said);
    return 0;
}

static int trust(struct stage *stage, struct cm_err *err)
{
    char *root = NULL, *said = NULL;
    if (scene_sh(&stage->scene, "store", 0, &root, err, "cat " CA "/root.pem") != 0) {
        return -1;
    }
    int rc = stage_ask(stage, "operator", root, &said, err,
                       "cat >" TRUSTED " && update-ca-certificates >/dev/null");
    if (rc > 0) {
        rc = cm_err_set(err, CM_ERR_WORLD, "operator: %.200s", said);
    }
    if (rc == 0) {
        rc = shown_trust(stage, root, err);
    }
    free(said);
    free(root);
    return rc;
}

static int run(struct stage *stage, const char *ini, struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, ini, "run --yes", &said, err);
    size_t n = status >= 0 ? strlen(said) : 0;
    int rc = status > 0 ? cm_err_set(err, CM_ERR_REFUSE, "run: status %d: %s", status,
                                     said + (n > 500 ? n - 500 : 0))
                        : status;
    free(said);
    return rc;
}

static int take_into_use(struct stage *stage, struct cm_err *err)
{
    return on_store(stage, err, make_ca) != 0 ||
                   on_store(stage, err,
                            LEAF "one " SCENE_DOMAIN " '-1 hour' '+15 days' && " LEAF
                                 "two " SCENE_DOMAIN " '-1 hour' '+16 days' && " LEAF
                                 "three " SCENE_DOMAIN " '-1 hour' '+17 days'") != 0 ||
                   trust(stage, err) != 0 ||
                   scene_sh(&stage->scene, "store", 0, NULL, err,
                            "set -- one; " WRITE) != 0 ||
                   scene_sh(&stage->scene, "operator", 0, NULL, err,
                            "cd " CLUSTER_DIR " && sed '/^\\[params\\]/a"
                            " tls_external_cert_and_key = " DIR "/cert.pem " DIR
                            "/key.pem' " CLUSTER_INI " >" INI) != 0
               ? -1
               : run(stage, INI, err);
}

int scenario_own_certificate_back(struct stage *stage, struct cm_err *err)
{
    char *there = NULL;
    if (scene_sh(&stage->scene, "operator", 0, &there, err,
                 "ls " CLUSTER_DIR "/" INI " 2>/dev/null || true") != 0) {
        return -1;
    }
    bool used = there[0] != '\0';
    free(there);
    if (!used) {
        return 0;
    }
    static const char forget[] =
        "rm -rf " TRUSTED " " DIR "; update-ca-certificates --fresh >/dev/null";
    return run(stage, CLUSTER_INI, err) != 0 ||
                   on_store(stage, err,
                            "! systemctl is-active -q chatmail-tls.path"
                            " chatmail-tls.timer") != 0 ||
                   on_store(stage, err, forget) != 0 || shown_back(stage, err) != 0
               ? -1
               : scene_sh(&stage->scene, "operator", 60, NULL, err,
                          "%s; rm " CLUSTER_DIR "/" INI, forget);
}

/* ---- renewed ---- */

static int lives(struct imap *client, struct cm_err *err)
{
    return imap_idle_wait(client, 200, err) < 0 ? cm_err_prefix(err, "IDLE") : 0;
}

static int renewed(struct stage *stage, const char *how, const char *name,
                   struct imap *client, struct cm_err *err)
{
    char print[SHOWN_PRINT];
    int64_t ms = 0;
    if (print_of(stage, name, print, err) != 0 ||
        scene_sh(&stage->scene, "store", 0, NULL, err, "set -- %s; %s", name, how) !=
            0 ||
        shown_until(stage, SCENE_DOMAIN, NULL, print, QUICK_S * 1000, &ms, err) != 0) {
        return cm_err_prefix(err, "%s", name);
    }
    stage_note(stage, "%s shown everywhere after %.1f s", name, (double)ms / 1000);
    return lives(client, err);
}

/* ---- refused ---- */

static const struct bad {
    const char *what, *make, *said;
} bads[] = {
    {"the key of another", "cat ca/three.pem >cert.pem; cat ca/one.key >key.pem",
     "key"},
    {"expired",
     LEAF "old " SCENE_DOMAIN " '-9 days' '-1 day'; cat ca/old.key >key.pem;"
          " cat ca/old.pem >cert.pem",
     "it expired on "},
    {"another name",
     LEAF "other other.example '-1 hour' '+9 days'; cat ca/other.key"
          " >key.pem; cat ca/other.pem >cert.pem",
     "it is for other.example, not for " SCENE_DOMAIN},
    {"not yet",
     LEAF "young " SCENE_DOMAIN " '+2 days' '+9 days'; cat ca/young.key"
          " >key.pem; cat ca/young.pem >cert.pem",
     "it is valid from "},
    {"chain turned round",
     "cat ca/sub.pem ca/three.crt >cert.pem; cat ca/three.key"
     " >key.pem",
     "key"},
    {"chain of another order",
     "cat ca/three.crt ca/root.pem ca/sub.pem >cert.pem; cat"
     " ca/three.key >key.pem",
     "made"},
    {"no chain", "cat ca/three.crt >cert.pem; cat ca/three.key >key.pem",
     "nobody will trust it"},
    {"half a file", "head -c 300 ca/three.pem >cert.pem", "certificate"},
    {"an empty file", ": >cert.pem", "certificate"},
    {"no file", "rm cert.pem", "is not there"},
};

static int refused(struct stage *stage, const struct bad *bad, struct cm_err *err)
{
    int rc =
        scene_sh(&stage->scene, "store", 60, NULL, err, "cd " DIR " && %s", bad->make);
    if (rc == 0) {
        rc = scene_until(&stage->scene, "store", TOLD_S, err,
                         "chatmail-tls status | grep -q '\"problem\":\"[^\"]*%s'",
                         bad->said);
    }
    if (rc != 0) {
        char *said = NULL;
        struct cm_err ignored;
        (void)!scene_sh(&stage->scene, "store", 0, &said, &ignored,
                        "chatmail-tls status");
        cm_err_prefix(err, "%s: %.200s", bad->what, said != NULL ? said : "");
        free(said);
    }
    return rc;
}

static int status_says(struct stage *stage, const char *words, int want,
                       struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, INI, "status", &said, err);
    if (status < 0) {
        return -1;
    }
    int rc = status == want && cluster_says(said, words)
                 ? 0
                 : cm_err_set(err, CM_ERR_REFUSE, "status: exit %d, not \"%s\": %.500s",
                              status, words, said);
    free(said);
    return rc;
}

static int all_refused(struct stage *stage, const char *print, struct imap *client,
                       struct cm_err *err)
{
    char found[SHOWN_PRINT];
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
        if (refused(stage, &bads[i], err) != 0) {
            return -1;
        }
    }
    if (status_says(stage, "a new certificate is refused: ", 1, err) != 0 ||
        shown_same(stage, SCENE_DOMAIN, NULL, found, err) != 0) {
        return -1;
    }
    if (strcmp(found, print) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "a refused one is shown: %.16s", found);
    }
    return lives(client, err);
}

static int with_client(struct stage *stage, struct imap *client, struct cm_err *err)
{
    char print[SHOWN_PRINT];
    return renewed(stage, RENAME, "two", client, err) != 0 ||
                   renewed(stage, WRITE, "one", client, err) != 0 ||
                   print_of(stage, "one", print, err) != 0 ||
                   all_refused(stage, print, client, err) != 0 ||
                   renewed(stage, RENAME, "three", client, err) != 0 ||
                   status_says(stage, "scenario sub", 0, err) != 0 ||
                   lives(client, err) != 0
               ? -1
               : 0;
}

int scenario_own_certificate(struct stage *stage, struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    struct scene_account account;
    char print[SHOWN_PRINT];
    if (take_into_use(stage, err) != 0 || print_of(stage, "one", print, err) != 0 ||
        shown_until(stage, SCENE_DOMAIN, NULL, print, RUN_MS, NULL, err) != 0 ||
        account_make(stage, &account, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    struct imap *client = door_imap(stage, &door, &account, STEP_MS, err);
    int rc = client == NULL ||
                     imap_command(client, "SELECT INBOX", NULL, NULL, err) != 0 ||
                     imap_idle(client, err) != 0
                 ? -1
                 : with_client(stage, client, err);
    imap_close(&client);
    return rc;
}
