/* The key for the name server: a file of the operator's machine, copied to the store
 * when it shall change DNS by itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/file.h"
#include "common/mem.h"
#include "dns/update.h"
#include "hash.h"

#define STORE_KEY "/etc/chatmail/dns.key"
#define DNS_UNIT  "chatmail-dns.service"

static int read_key(struct op_node *node, char **text_r, size_t *len_r,
                    struct cm_err *err)
{
    const struct cm_conf_store *s = &node->cluster->conf.store;
    struct dns_primary primary;
    struct dns_key key;
    int rc = -1;

    if (s->dns_server[0] == '\0' || s->dns_key[0] == '\0') {
        cm_err_set(err, CM_ERR_WORLD, "dns_follow = yes needs dns_server and dns_key");
    } else if (dns_primary_parse(s->dns_server, &primary, err) == 0 &&
               dns_key_load(s->dns_key, &key, err) == 0) {
        dns_key_wipe(&key);
        rc = cm_file_read(s->dns_key, DNS_KEY_FILE_MAX, text_r, len_r, err) == 1 ? 0
                                                                                 : -1;
    }
    return rc == 0 ? 0 : cm_err_prefix(err, "chatmail.ini: [store]");
}

static int check_key(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    const char *paths[] = {STORE_KEY};
    struct op_file_state state;
    char *text, hash[OP_HASH_TEXT];
    size_t len;

    if (read_key(node, &text, &len, err) != 0) {
        return -1;
    }
    op_hash(text, len, hash);
    cm_wipe(text, len);
    free(text);
    if (op_host_states(&node->host, paths, 1, &state, err) != 0) {
        return -1;
    }
    int rc = state.present && strcmp(state.hash, hash) == 0 && state.mode == 0600 &&
             strcmp(state.owner, "root:root") == 0;
    if (rc == 0) {
        op_step_note(step, "%s", state.present ? "has another" : "none");
    }
    return rc;
}

/* The unit's stamp goes first, so that it is started anew with the new key. */
static int put_key(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct op_cmd forget = {.script = "rm -f " OP_APPLIED_DIR "/" DNS_UNIT,
                            .repeatable = true};
    char *text;
    size_t len;

    if (read_key(node, &text, &len, err) != 0) {
        return -1;
    }
    int rc = op_host_run(&node->host, &forget, NULL, err);
    if (rc == 0) {
        rc = op_host_put(&node->host, STORE_KEY, text, len, "root:root", 0600, err);
    }
    op_step_note(step, "copied");
    cm_wipe(text, len);
    free(text);
    return rc;
}

void op_add_dns_key(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = "key of the name server",
                        .check = check_key,
                        .act = put_key,
                        .ctx = node};

    if (node->cluster->conf.store.dns_follow && !node->cluster->conf.is_ip) {
        op_plan_add(plan, &s);
    }
}
