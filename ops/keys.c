/* What every node makes for itself: WireGuard and cluster keys, the self-signed
 * certificate, the DKIM key, the secret of calls. Private halves never travel. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acme.h"
#include "cluster.h"
#include "common/mem.h"

/* ---- WireGuard and cluster keys ---- */

static int read_keys(struct op_node *node, const char *text, struct cm_err *err)
{
    json_t *o = json_loads(text, 0, NULL);
    const char *wg = json_string_value(json_object_get(o, "wg"));
    const char *cluster = json_string_value(json_object_get(o, "cluster"));
    bool store = node->gateway == NULL;
    int rc = 0;

    if (wg == NULL || (store && cluster == NULL)) {
        rc = cm_err_set(err, CM_ERR_WORLD,
                        "%s: keygen did not say its public keys; it said: %.100s",
                        node->host.name, text);
    } else {
        snprintf(node->wg_key, sizeof(node->wg_key), "%s", wg);
        if (store) {
            snprintf(node->cluster->cluster_key, sizeof(node->cluster->cluster_key),
                     "%s", cluster);
        }
    }
    json_decref(o);
    return rc;
}

/* keygen leaves what is there alone, so asking for the public halves is the same call;
 * it is made only when the files are there, so that a check makes nothing. */
static int check_keys(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct op_cmd cmd = {
        .script = "[ -x \"$1\" ] || exit 0; p=$1; shift\n"
                  "for f; do [ -s \"$f\" ] || exit 0; done; \"$p\" keygen",
        .args = {"/usr/sbin/chatmail-cluster", "/etc/chatmail/wg.key",
                 "/etc/chatmail/cluster.key"},
        .repeatable = true,
    };
    char *said;

    if (node->gateway != NULL) {
        cmd.args[0] = "/usr/sbin/chatmail-gateway";
        cmd.args[2] = NULL;
    }
    if (op_host_run(&node->host, &cmd, &said, err) != 0) {
        return -1;
    }
    int rc = said[0] == '\0' ? 0 : read_keys(node, said, err) == 0 ? 1 : -1;
    free(said);
    if (rc == 0) {
        op_step_note(step, "not made yet");
    }
    return rc;
}

static int make_keys(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct op_cmd cmd = {.script = "mkdir -p -m 755 /etc/chatmail; \"$1\" keygen",
                         .args = {node->gateway == NULL
                                      ? "/usr/sbin/chatmail-cluster"
                                      : "/usr/sbin/chatmail-gateway"}};

    op_step_note(step, "made on the node");
    return op_host_run(&node->host, &cmd, NULL, err);
}

void op_add_keys(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = "keys of the tunnel",
                        .check = check_keys,
                        .act = make_keys,
                        .ctx = node};

    op_plan_add(plan, &s);
}

/* A signing key is any 32 bytes (common/sign.h); keygen makes the rest from it. */
static const char cluster_key_script[] =
    "set -e; umask 077; d=/etc/chatmail; mkdir -p -m 755 $d; cd $d\n"
    "[ ! -s cluster.key ] || exit 0\n"
    "head -c 32 /dev/urandom | base64 >cluster.key.new; sync cluster.key.new\n"
    "mv cluster.key.new cluster.key";

static int check_cluster_key(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    char *said;

    if (op_host_ask(&node->host, "[ ! -s /etc/chatmail/cluster.key ] || echo there",
                    &said, err) != 0) {
        return -1;
    }
    int rc = said[0] != '\0';
    op_step_note(step, "%s", rc ? "there" : "not made yet");
    free(said);
    return rc;
}

static int make_cluster_key(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;

    op_step_note(step, "made on the node");
    return op_host_run(
        &node->host, &(struct op_cmd){.script = cluster_key_script, .repeatable = true},
        NULL, err);
}

void op_add_cluster_key(struct op_plan *plan, struct op_node *store)
{
    struct op_step s = {.node = store->host.name,
                        .name = "cluster key",
                        .check = check_cluster_key,
                        .act = make_cluster_key,
                        .ctx = store};

    op_plan_add(plan, &s);
}

void op_add_store_keys(struct op_plan *plan, struct op_node *store)
{
    struct op_step s = {.node = store->host.name,
                        .name = "its public keys",
                        .check = check_keys,
                        .ctx = store};

    op_plan_add(plan, &s);
}

/* ---- certificate ---- */

static int check_tls(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    const struct cm_conf *conf = &node->cluster->conf;
    struct cm_run_result res;
    struct op_cmd cmd = {.script = "[ -s \"$1\" ] && [ -s \"$2\" ]",
                         .args = {conf->tls_cert, conf->tls_key},
                         .repeatable = true};
    int rc = op_host_exec(&node->host, &cmd, &res, err);

    if (rc == 0) {
        rc = res.exit_code == 0;
        if (rc == 0) {
            op_step_note(step, "none");
        }
    }
    cm_run_result_clear(&res);
    return rc;
}

/* The certificate comes last, because its presence says that all is done. A common name
 * holds 64 bytes; the alternative names are what clients look at. */
static const char tls_script[] =
    "set -e; umask 077; key=$1 cert=$2 cn=$3\n"
    "mkdir -p -m 710 \"${key%/*}\"; mkdir -p -m 755 \"${cert%/*}\"\n"
    "trap 'rm -f \"$key.new\" \"$cert.new\" \"$cert.cnf\"' EXIT\n"
    "printf '[req]\\ndistinguished_name = dn\\nprompt = no\\nx509_extensions = ext\\n"
    "[dn]\\nCN = %s\\n[ext]\\nbasicConstraints = critical, CA:FALSE\\n"
    "keyUsage = critical, digitalSignature\\nextendedKeyUsage = serverAuth, "
    "clientAuth\\n"
    "subjectAltName = %s\\n' \"$cn\" \"$4\" >\"$cert.cnf\"\n"
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -sha256"
    " -days 36500 -config \"$cert.cnf\" -keyout \"$key.new\" -out \"$cert.new\" 2>&1\n"
    "chmod 600 \"$key.new\"; chmod 644 \"$cert.new\"; sync \"$key.new\" \"$cert.new\"\n"
    "mv \"$key.new\" \"$key\"; mv \"$cert.new\" \"$cert\"";

static int make_tls(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    const struct cm_conf *conf = &node->cluster->conf;
    const char *d = conf->mail_domain;
    char *names = conf->is_ip
                      ? cm_asprintf("IP:%s", d)
                      : cm_asprintf("DNS:%s, DNS:www.%s, DNS:mta-sts.%s", d, d, d);
    struct op_cmd cmd = {.script = tls_script,
                         .args = {conf->tls_key, conf->tls_cert,
                                  strlen(d) <= 64 ? d : "chatmail", names}};
    int rc = op_host_run(&node->host, &cmd, NULL, err);

    free(names);
    op_step_note(step, "self-signed");
    return rc;
}

void op_add_tls(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = "TLS certificate",
                        .check = check_tls,
                        .act = make_tls,
                        .ctx = node};

    if (node->cluster->conf.tls_mode == CM_TLS_SELF) {
        op_plan_add(plan, &s);
    } else {
        op_add_taken_tls(plan, node);
    }
}

/* ---- DKIM ---- */

static int check_dkim(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    char *said;

    if (op_host_ask(
            &node->host,
            "cd /etc/dkimkeys 2>/dev/null || exit 0\n"
            "[ ! -s opendkim.private ] || stat -c '%U:%G %a' opendkim.private .",
            &said, err) != 0) {
        return -1;
    }
    int rc = strcmp(said, "root:chatmail-signer 640\nroot:chatmail-signer 750") == 0;
    if (rc == 0) {
        op_step_note(step, "%s", said[0] == '\0' ? "none" : "wrong owner or mode");
    }
    free(said);
    return rc;
}

/* Name and place are upstream's, so that a relay that was one keeps its key, and its
 * DNS record. */
static const char dkim_script[] =
    "set -e; umask 077; d=/etc/dkimkeys; k=$d/opendkim.private; mkdir -p $d\n"
    "if [ ! -s $k ]; then\n"
    "  trap 'rm -f $k.new' EXIT\n"
    "  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $k.new 2>&1\n"
    "  sync $k.new; mv $k.new $k\n"
    "fi\n"
    "chown root:chatmail-signer $k $d; chmod 640 $k; chmod 750 $d";

static int make_dkim(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct op_cmd cmd = {.script = dkim_script};

    op_step_note(step, "RSA 2048");
    return op_host_run(&node->host, &cmd, NULL, err);
}

void op_add_dkim(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = "DKIM key",
                        .check = check_dkim,
                        .act = make_dkim,
                        .ctx = node};

    if (!node->cluster->conf.is_ip) {
        op_plan_add(plan, &s);
    }
}

/* ---- calls ---- */

#define TURN_SECRET "/etc/chatmail/turn.secret"

static int check_turn(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    char *said;

    if (op_host_ask(&node->host, "stat -c '%U %a %s' " TURN_SECRET " 2>/dev/null; true",
                    &said, err) != 0) {
        return -1;
    }
    int rc = strcmp(said, "root 600 65") == 0;
    if (rc == 0) {
        op_step_note(step, "%s",
                     said[0] == '\0' ? "none" : "wrong owner, mode or size");
    }
    free(said);
    return rc;
}

/* systemd hands it to the TURN servers and to chatmail-metadata when they start; nobody
 * else reads it. With a new one all of them have to start anew. */
static const char turn_script[] =
    "set -e; umask 077; f=" TURN_SECRET "; mkdir -p -m 755 /etc/chatmail\n"
    "if [ \"$(stat -c %s $f 2>/dev/null)\" != 65 ]; then\n"
    "  rm -f " OP_APPLIED_DIR "/chatmail-turn@* " OP_APPLIED_DIR
    "/chatmail-metadata.service\n"
    "  openssl rand -hex 32 >$f.new; sync $f.new; mv $f.new $f\n"
    "fi\n"
    "chown root:root $f; chmod 600 $f";

static int make_turn(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct op_cmd cmd = {.script = turn_script};

    op_step_note(step, "made on the node");
    return op_host_run(&node->host, &cmd, NULL, err);
}

void op_add_turn_secret(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = "secret of calls",
                        .check = check_turn,
                        .act = make_turn,
                        .ctx = node};

    if (node->cluster->conf.store.turn) {
        op_plan_add(plan, &s);
    }
}
