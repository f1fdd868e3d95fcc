/* The chat core of the echo bot: a file of the operator's machine, put on the store as
 * it is. Nothing is downloaded for it. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/file.h"
#include "echo.h"
#include "hash.h"

#define CORE_MAX  (256u * 1024 * 1024)
#define CORE_PATH "/usr/lib/portico/deltachat-rpc-server"
#define ECHO_UNIT "chatmail-echo.service"

static const struct {
    const char *arch; /* of Debian */
    unsigned machine;
} machines[] = {{"amd64", EM_X86_64}, {"arm64", EM_AARCH64}};

int op_echo_fits(const char *data, size_t len, const char *arch, struct cm_err *err)
{
    Elf64_Ehdr head;

    if (len < sizeof(head) || memcmp(data, ELFMAG, SELFMAG) != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "is not a program");
    }
    memcpy(&head, data, sizeof(head));
    for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
        if (strcmp(machines[i].arch, arch) == 0 &&
            (data[EI_CLASS] != ELFCLASS64 || head.e_machine != machines[i].machine)) {
            return cm_err_set(err, CM_ERR_WORLD, "is not for the store's CPU (%s)",
                              arch);
        }
    }
    return 0;
}

static int read_core(struct op_node *node, char **data_r, size_t *len_r,
                     struct cm_err *err)
{
    const char *path = node->cluster->conf.store.echo_core;
    int rc = cm_file_read(path, CORE_MAX, data_r, len_r, err);

    if (rc == 0) {
        rc = cm_err_set(err, CM_ERR_WORLD, "is not there");
    } else if (rc == 1 && op_echo_fits(*data_r, *len_r, node->arch, err) != 0) {
        free(*data_r);
        rc = -1;
    }
    return rc == 1 ? 0
                   : cm_err_prefix(err, "chatmail.ini: [store] echo_core = %s", path);
}

static int check_core(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    const char *paths[] = {CORE_PATH};
    struct op_file_state state;
    char *data, hash[OP_HASH_TEXT];
    size_t len;

    if (read_core(node, &data, &len, err) != 0) {
        return -1;
    }
    op_hash(data, len, hash);
    free(data);
    if (op_host_states(&node->host, paths, 1, &state, err) != 0) {
        return -1;
    }
    int rc = state.present && strcmp(state.hash, hash) == 0 && state.mode == 0755 &&
             strcmp(state.owner, "root:root") == 0;
    if (rc == 0) {
        op_step_note(step, "%s", state.present ? "has another" : "none");
    }
    return rc;
}

/* The unit's stamp goes first: with another core the bot is started anew, also when
 * this run ends before it comes to that. */
static int put_core(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct op_cmd forget = {.script = "rm -f " OP_APPLIED_DIR "/" ECHO_UNIT,
                            .repeatable = true};
    char *data;
    size_t len;

    if (read_core(node, &data, &len, err) != 0) {
        return -1;
    }
    int rc = op_host_run(&node->host, &forget, NULL, err);
    if (rc == 0) {
        rc = op_host_put(&node->host, CORE_PATH, data, len, "root:root", 0755, err);
    }
    op_step_note(step, "%zu MB", len / 1000000);
    free(data);
    return rc;
}

void op_add_echo(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = "chat core of the echo bot",
                        .check = check_core,
                        .act = put_core,
                        .ctx = node};

    if (node->cluster->conf.store.echo_core[0] != '\0') {
        op_plan_add(plan, &s);
    }
}
