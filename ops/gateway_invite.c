/* chatops gateway invite. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "cli.h"
#include "cluster.h"
#include "common/enrol.h"
#include "common/mem.h"
#include "enrol_text.h"
#include "hash.h"
#include "modes.h"
#include "numbers.h"
#include "say.h"
#include "store_sql.h"
#include "waiting.h"

#define FILES_DIR "/var/lib/portico/enrol" /* as nginx knows it */

/* All that is learnt before the invite is made. */
struct making {
    struct op_cluster c;
    struct op_published was;
    struct op_waiters waiters;
    struct op_invitation inv;
    char cluster_key[64], pin[64];
    int64_t seconds;
    char token[CM_ENROL_LEN + 1];
};

/* ---- what is needed ---- */

static bool is_name(const char *name)
{
    size_t n = strlen(name);

    return n >= 1 && n <= 32 && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* A gateway that chatops can do nothing else for may be invited again: that brings it
 * up to date, or puts a fresh machine in its place. */
static int check_name(const struct making *m, struct cm_err *err)
{
    const char *name = m->inv.name;
    const struct cm_conf *conf = &m->c.conf;

    if (!is_name(name)) {
        return cm_err_set(
            err, CM_ERR_REFUSE,
            "\"%.64s\" is no name for a gateway; allowed: a-z, 0-9 and -, "
            "at most 32, not beginning with -",
            name);
    }
    for (size_t i = 0; i < conf->gateway_count; i++) {
        const struct cm_conf_gateway *g = &conf->gateways[i];
        if (strcmp(g->name, name) == 0 && (g->ssh[0] != '\0' || !g->agent)) {
            return cm_err_set(err, CM_ERR_REFUSE,
                              "%s is in %s and %s; take another name", name,
                              m->c.cli->config,
                              g->agent ? "reached by ssh: chatops run looks after it"
                                       : "has no agent");
        }
    }
    return 0;
}

/* The machine comes by them. */
static int find_doors(struct making *m, struct cm_err *err)
{
    struct op_invitation *inv = &m->inv;
    const struct px_state *state = &m->was.state;

    for (size_t i = 0; i < state->gateway_count; i++) {
        const struct px_gateway *gw = &state->gateways[i];
        const struct op_member *member = op_fleet_find(&m->was.fleet, gw->name);
        bool serves = member != NULL && gw->mode == CM_MODE_ACTIVE &&
                      (member->agentless ? strcmp(member->health, "up") == 0
                                         : op_member_reports(member));
        for (size_t a = 0; a < gw->address_count && serves; a++) {
            if (inv->door_count < CM_ADDRESSES_MAX) {
                snprintf(inv->doors[inv->door_count++], 46, "%s", gw->addresses[a]);
            }
        }
    }
    if (inv->door_count > 0) {
        return 0;
    }
    return cm_err_set(err, CM_ERR_WORLD,
                      "an invited machine reaches the store through a gateway that "
                      "serves, and there is none; the first one needs SSH: chatops "
                      "gateway add %s --ssh root@ADDRESS",
                      inv->name);
}

static int find_number(struct making *m, struct cm_err *err)
{
    const struct cm_conf *conf = &m->c.conf;
    const struct op_waiting *again = op_waiting_find(&m->waiters, m->inv.name);

    if (again != NULL) {
        m->inv.number = again->number;
        return 0;
    }
    for (size_t i = 0; i < conf->gateway_count; i++) {
        if (strcmp(conf->gateways[i].name, m->inv.name) == 0) {
            m->inv.number = conf->gateways[i].number;
            return 0;
        }
    }
    char *more = op_numbers_on_store(&m->c);
    int rc = op_numbers_choose(&m->c, more, &m->inv.number, err);
    free(more);
    return rc;
}

/* The store's public keys, and the hash of the key in its certificate, which is what
 * the machine will know it by. */
static int read_keys(struct making *m, struct cm_err *err)
{
    struct op_cmd cmd = {.script = "set -e\n"
                                   "chatmail-cluster keygen\n"
                                   "openssl x509 -in \"$1\" -noout -pubkey |"
                                   " openssl pkey -pubin -outform der |"
                                   " openssl dgst -sha256 -binary | base64 -w 0",
                         .args = {m->c.conf.tls_use_cert},
                         .repeatable = true};
    char *said;

    if (op_host_run(&m->c.nodes[0].host, &cmd, &said, err) != 0) {
        return -1;
    }
    char *line = strchr(said, '\n');
    json_t *keys = json_loads(said, JSON_DISABLE_EOF_CHECK, NULL);
    const char *cluster = json_string_value(json_object_get(keys, "cluster"));
    bool good = cluster != NULL && line != NULL && strlen(line + 1) == 44;
    if (good) {
        snprintf(m->cluster_key, sizeof(m->cluster_key), "%s", cluster);
        snprintf(m->pin, sizeof(m->pin), "%s", line + 1);
    } else {
        cm_err_set(err, CM_ERR_WORLD, "store: its keys cannot be read: %.100s", said);
    }
    json_decref(keys);
    free(said);
    return good ? 0 : -1;
}

/* ---- packages ---- */

/* No invite lives for longer than 30 days, so older files are nobody's. */
static int upload(struct making *m, const struct op_package *p, struct cm_err *err)
{
    char *path = cm_asprintf(FILES_DIR "/%s.deb", p->hash);
    struct op_file_state state;
    const char *paths[] = {path};
    struct op_host *store = &m->c.nodes[0].host;
    int rc = op_host_states(store, paths, 1, &state, err);

    if (rc == 0 && (!state.present || strcmp(state.hash, p->hash) != 0)) {
        rc = op_host_put(store, path, p->data, p->len, "root:root", 0644, err);
    }
    struct op_cmd keep = {.script = "touch \"$1\"; find " FILES_DIR
                                    " -name '*.deb' -mtime +31 -delete",
                          .args = {path},
                          .repeatable = true};
    if (rc == 0) {
        rc = op_host_run(store, &keep, NULL, err);
    }
    free(path);
    return rc;
}

/* For every CPU that there is a package for; which one the machine has is not known. */
static int offer_packages(struct making *m, struct cm_err *err)
{
    static const char *const arches[] = {"amd64", "arm64"};
    struct cm_conf_gateway any = {.name = NULL};

    for (size_t i = 0; i < sizeof(arches) / sizeof(arches[0]); i++) {
        struct op_node node = {.cluster = &m->c, .gateway = &any};
        snprintf(node.arch, sizeof(node.arch), "%s", arches[i]);
        if (op_package_find(&node, err) != 0) {
            continue; /* err names what there is, should there be none at all */
        }
        struct op_invited_package *p = &m->inv.packages[m->inv.package_count++];
        snprintf(p->arch, sizeof(p->arch), "%s", arches[i]);
        snprintf(p->hash, sizeof(p->hash), "%s", node.package.hash);
        int rc = upload(m, &node.package, err);
        free(node.package.data);
        if (rc != 0) {
            return -1;
        }
    }
    return m->inv.package_count > 0 ? 0 : -1;
}

/* ---- the invite ---- */

static void say_text(const struct making *m, const char *expires, const char *line,
                     const char *cloud)
{
    const char *name = m->inv.name;

    if (m->c.cli->cloud_init) {
        fputs(cloud, stdout);
        fprintf(
            stderr,
            "# user-data for a fresh Debian 12; good until %s, for one machine. What "
            "it says is\n# in /var/log/cloud-init-output.log there. Then: chatops "
            "gateway accept %s\n",
            expires, name);
        return;
    }
    op_say(OP_GREEN, "%s is invited (number %lld) until %s; one machine can take it",
           name, (long long)m->inv.number, expires);
    op_say(
        OP_PLAIN,
        "paste this into a root shell of a fresh Debian 12 (curl is installed when it "
        "is missing):\n");
    op_print(OP_PLAIN, line);
    op_print(OP_PLAIN, "");
    op_say(OP_PLAIN, "it ends by saying a fingerprint; next: chatops gateway accept %s",
           name);
}

static void say_json(const struct making *m, const char *expires, const char *line,
                     const char *cloud, const char *hash)
{
    json_t *o =
        json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s}", "result", "ok", "name",
                  m->inv.name, "number", (json_int_t)m->inv.number, "expires", expires,
                  "line", line, "cloud_init", cloud, "script_sha256", hash);

    op_answer(o);
}

static void say(const struct making *m, const char *expires, const char *hash)
{
    char *line = op_enrol_line(&m->inv, m->token, hash);
    char *cloud = op_enrol_cloud_init(line);

    if (m->c.cli->json) {
        say_json(m, expires, line, cloud, hash);
    } else {
        say_text(m, expires, line, cloud);
    }
    cm_wipe_str(&line);
    cm_wipe_str(&cloud);
}

static int make(struct making *m, struct cm_err *err)
{
    char hash[OP_HASH_TEXT], token_hash[CM_ENROL_HASH];
    char *script = NULL, *expires = NULL;

    if (op_enrol_script(&m->inv, &script, err) != 0 ||
        cm_enrol_make(m->token, err) != 0) {
        free(script);
        return -1;
    }
    op_hash(script, strlen(script), hash);
    cm_assert(cm_enrol_hash(m->token, token_hash));
    char *sql =
        op_enrol_sql(m->inv.name, m->inv.number, token_hash, m->seconds, script);
    int rc = op_store_sql(&m->c.nodes[0].host, sql, &expires, err);
    if (rc == 0) {
        say(m, expires, hash);
    }
    free(expires);
    free(sql);
    free(script);
    cm_wipe(m->token, sizeof(m->token));
    return rc;
}

static int invite(struct making *m, struct cm_err *err)
{
    m->inv.conf = &m->c.conf;
    if (check_name(m, err) != 0) {
        return -1;
    }
    if (op_published_read(&m->c, &m->was, err) != 0) {
        return cm_err_prefix(
            err,
            "the first gateway needs SSH (chatops gateway add %s --ssh "
            "root@ADDRESS), and",
            m->inv.name);
    }
    m->inv.store_wg_key = m->was.state.store_wg_public_key;
    m->inv.cluster_key = m->cluster_key;
    m->inv.pin = m->pin;
    if (find_doors(m, err) != 0 ||
        op_waiting_read(&m->c.nodes[0].host, &m->waiters, err) != 0 ||
        find_number(m, err) != 0 || read_keys(m, err) != 0 ||
        offer_packages(m, err) != 0) {
        return -1;
    }
    return make(m, err);
}

int op_gateway_invite(const struct op_cli *cli, struct cm_err *err)
{
    struct making *m = cm_calloc(1, sizeof(*m));

    if (op_invite_time(cli->for_s, &m->seconds, err) != 0) {
        op_complain("%s", err->text);
        free(m);
        return OP_EXIT_USAGE;
    }
    if (op_cluster_load(cli, &m->c, err) != 0) {
        free(m);
        return -1;
    }
    m->inv.name = cli->args[0];
    int rc = invite(m, err);
    op_published_clear(&m->was);
    op_cluster_clear(&m->c);
    free(m);
    return rc;
}
