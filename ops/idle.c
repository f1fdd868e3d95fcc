/* What must not run on a store: Debian's own unit of a server that we run otherwise,
 * and services that chatmail.ini no longer asks for. */
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/buf.h"

/* $1 the units that are wanted. Says which of the others run, or would after a boot. */
static const char find_script[] =
    "for u in coturn.service chatmail-echo.service chatmail-dns.service"
    " chatmail-acme.timer chatmail-tls.timer chatmail-tls.path"
    " $(ls /etc/systemd/system/multi-user.target.wants |"
    " grep -x 'chatmail-turn@[0-9]*.service')"
    " $(systemctl list-units --all --plain --no-legend 'chatmail-turn@*' |"
    " cut -d' ' -f1); do\n"
    "  case \" $1 \" in *\" $u \"*) continue;; esac\n"
    "  case $(systemctl is-active \"$u\"):$(systemctl is-enabled \"$u\" 2>/dev/null) in"
    " active:*|activating:*|*:enabled) echo \"$u\";; esac\n"
    "done | sort -u";

static int find_idle(struct op_node *node, char **said_r, struct cm_err *err)
{
    struct cm_buf wanted;

    cm_buf_init(&wanted, 8192);
    for (const struct op_unit *u = node->units; u->name != NULL; u++) {
        cm_buf_fmt(&wanted, "%s ", u->name);
    }
    cm_assert(!wanted.overflow);
    struct op_cmd cmd = {
        .script = find_script, .args = {wanted.data}, .repeatable = true};
    int rc = op_host_run(&node->host, &cmd, said_r, err);
    cm_buf_clear(&wanted);
    if (rc == 0) {
        for (char *p = *said_r; *p != '\0'; p++) {
            *p = *p == '\n' ? ' ' : *p;
        }
    }
    return rc;
}

static int check_idle(struct op_step *step, struct cm_err *err)
{
    char *said;

    if (find_idle(step->ctx, &said, err) != 0) {
        return -1;
    }
    int rc = said[0] == '\0';
    if (rc == 0) {
        op_step_note(step, "to stop: %.150s", said);
    }
    free(said);
    return rc;
}

static int stop_idle(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    char *said;

    if (find_idle(node, &said, err) != 0) {
        return -1;
    }
    struct op_cmd cmd = {
        /* A socket that is left behind would start it again. */
        .script = "for u in $1; do for s in $(systemctl show -P TriggeredBy \"$u\"); do"
                  " systemctl stop \"$s\"; done;"
                  " systemctl -q disable --now \"$u\" || exit;"
                  " rm -f " OP_APPLIED_DIR "/\"$u\"; done",
        .args = {said},
        .repeatable = true};
    int rc = op_host_run(&node->host, &cmd, NULL, err);
    op_step_note(step, "stopped: %.150s", said);
    free(said);
    return rc;
}

void op_add_idle(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = "what shall not run",
                        .check = check_idle,
                        .act = stop_idle,
                        .ctx = node};

    op_plan_add(plan, &s);
}
