/* /etc/chatmail-version on every node: what was brought there, written when all of the
 * node is as it should be. */
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/mem.h"
#include "diff.h"

static char *version_text(const struct op_node *node)
{
    const char *file = strrchr(node->package.path, '/');

    return cm_asprintf("portico %s\n%s\nsha256 %s\n", node->package.version,
                       file != NULL ? file + 1 : node->package.path,
                       node->package.hash);
}

static int check_version(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    char *want = version_text(node), *have = NULL;
    int rc = op_host_get(&node->host, OP_VERSION_PATH, &have, err);

    if (rc >= 0) {
        rc = rc > 0 && strcmp(want, have) == 0;
        op_step_note(step, "%s%s", node->package.version,
                     rc > 0         ? ""
                     : have == NULL ? ", not written yet"
                                    : ", it says another");
    }
    free(have);
    free(want);
    return rc;
}

static int diff_version(struct op_step *step, struct cm_buf *out, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    char *want = version_text(node), *have = NULL;
    int rc = op_host_get(&node->host, OP_VERSION_PATH, &have, err);

    if (rc >= 0) {
        op_diff(out, OP_VERSION_PATH, have, want);
    }
    free(have);
    free(want);
    return rc >= 0 ? 0 : -1;
}

static int write_version(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    char *want = version_text(node);
    int rc = op_host_put(&node->host, OP_VERSION_PATH, want, strlen(want), "root:root",
                         0644, err);

    op_step_note(step, "%s", node->package.version);
    free(want);
    return rc;
}

void op_add_version(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = OP_VERSION_PATH,
                        .check = check_version,
                        .diff = diff_version,
                        .act = write_version,
                        .ctx = node};

    op_plan_add(plan, &s);
}
